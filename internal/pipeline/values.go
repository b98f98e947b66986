package pipeline

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
	"github.com/zclconf/go-cty/cty/gocty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// fromCell is the value of a cell: a string, an int64 or a float64.
func fromCell(v any) cty.Value {
	switch x := v.(type) {
	case int64:
		return cty.NumberIntVal(x)
	case float64:
		return number(x)
	}
	return cty.StringVal(fmt.Sprint(v))
}

// number is the decimal number that a double is written as, so that 0.1 in the file and 0.1 in a
// cell are the same. It is null for what is not finite.
func number(x float64) cty.Value {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return cty.NullVal(cty.Number)
	}
	if x == math.Trunc(x) && math.Abs(x) < 1<<53 {
		return cty.NumberIntVal(int64(x))
	}
	return cty.MustParseNumberVal(strconv.FormatFloat(x, 'g', -1, 64))
}

func toFloat(v cty.Value) float64 {
	f, _ := v.AsBigFloat().Float64()
	return f
}

var errInfinite = errors.New("the number is infinite (a division by zero?), or larger than 1e308")

// tooLarge is errInfinite for a number that no double can hold, nil for every other value.
func tooLarge(v cty.Value) error {
	if v.Type() != cty.Number || !v.IsKnown() || v.IsNull() {
		return nil
	}
	if f := v.AsBigFloat(); f.IsInf() || f.MantExp(nil) > 1024 {
		return errInfinite
	}
	return nil
}

// asDouble makes a number the decimal number that its double is written as. cty computes with 512
// bits, so that 0.1 * 3 would be a text of 150 digits.
func asDouble(v cty.Value) (cty.Value, error) {
	switch {
	case v.Type() != cty.Number || !v.IsKnown() || v.IsNull():
		return v, nil
	case tooLarge(v) != nil:
		return v, errInfinite
	case v.AsBigFloat().IsInt():
		return v, nil
	}
	return number(toFloat(v)), nil
}

// asDoubles is asDouble for every number of a value. What functions give has doubles already.
func asDoubles(v cty.Value) (cty.Value, error) {
	if v.Type().IsPrimitiveType() || v.Type().IsListType() &&
		!v.Type().ElementType().IsPrimitiveType() {
		return asDouble(v)
	}
	out, err := cty.Transform(v, func(_ cty.Path, v cty.Value) (cty.Value, error) {
		return asDouble(v)
	})
	if err != nil {
		return v, errInfinite // asDouble has no other error; its own would name a path
	}
	return out, nil
}

// toJSON is a value as JSON: null, texts of UTF-8, true and false, numbers, lists and objects. A
// number has all digits of a double or of a whole number.
func toJSON(v cty.Value) ([]byte, error) {
	v, err := asDoubles(v)
	if err != nil {
		return nil, err
	}
	data, err := ctyjson.Marshal(v, v.Type())
	return []byte(strings.ToValidUTF8(string(data), "\uFFFD")), err
}

// cellText writes a value as a cell. A whole number keeps its digits. A fraction has twelve, which
// is more than any program here gives and hides the last bits of a difference.
func cellText(v cty.Value) (string, error) {
	if v.Type() != cty.Number {
		text, err := convertTo(v, cty.String)
		if err != nil {
			return "", err
		}
		valid := strings.ToValidUTF8(text.AsString(), "\uFFFD")
		return strings.NewReplacer("\r", " ", "\n", " ", "\x00", " ").Replace(valid), nil
	}
	if err := tooLarge(v); err != nil {
		return "", err
	}
	if allDigits(v) {
		return v.AsBigFloat().Text('f', 0), nil
	}
	digits := 12
	if size := math.Abs(toFloat(v)); size >= 1e9 && size < 1e21 {
		digits = 17 // else digits before the point would change, or hardly any behind it stay
		if size < 1e15 {
			digits = 16
		}
	}
	short, err := strconv.ParseFloat(strconv.FormatFloat(toFloat(v), 'g', digits, 64), 64)
	if err != nil {
		return "", errInfinite
	}
	form := byte('f')
	if size := math.Abs(short); size >= 1e21 || (size < 1e-9 && size > 0) {
		form = 'e'
	}
	return strconv.FormatFloat(short+0, form, -1, 64), nil // + 0: there is no -0
}

// fromJSON are the attributes of a JSON object; none if it is none.
func fromJSON(data []byte) map[string]cty.Value {
	t, err := ctyjson.ImpliedType(data)
	if err != nil || !t.IsObjectType() {
		return nil
	}
	v, err := ctyjson.Unmarshal(data, t)
	if err != nil {
		return nil
	}
	return v.AsValueMap()
}

// asType gives a recorded value the type that the file says it has; null where it does not fit.
func asType(v cty.Value, want cty.Type) cty.Value {
	if want.HasDynamicTypes() {
		return v
	}
	if c, err := convert.Convert(v, want); err == nil {
		return c
	}
	return cty.NullVal(want)
}

func isList(t cty.Type) bool   { return t.IsListType() || t.IsTupleType() || t.IsSetType() }
func isObject(t cty.Type) bool { return t.IsObjectType() || t.IsMapType() }

// as is a value as one of Go's, by HCL's conversions; not ok: unknown, null or of another kind.
func as[T any](v cty.Value) (out T, ok bool) {
	v, err := convert.Convert(v, impliedType(out))
	if err != nil || v.IsNull() || gocty.FromCtyValue(v, &out) != nil {
		return *new(T), false
	}
	return out, true
}

// impliedType is the type of a Go value. It panics where that has no form in HCL.
func impliedType(v any) cty.Type {
	t, err := gocty.ImpliedType(v)
	if err != nil {
		panic(err)
	}
	return t
}

// convertTo is convert.Convert with an error in the user's words.
func convertTo(v cty.Value, want cty.Type) (cty.Value, error) {
	c, err := convert.Convert(v, want)
	switch {
	case err != nil && aType(want) == orNull(v):
		return v, err
	case err != nil:
		return v, fmt.Errorf("%s is needed here, not %s", aType(want), shownValue(v))
	}
	return c, nil
}

// shownValue is a text in quotes, else what orNull says.
func shownValue(v cty.Value) string {
	if v.Type() == cty.String && v.IsKnown() && !v.IsNull() {
		return strconv.Quote(v.AsString())
	}
	return orNull(v)
}

// orNull names a value's type in a sentence.
func orNull(v cty.Value) string {
	if v.IsKnown() && v.IsNull() {
		return "null"
	}
	return aType(v.Type())
}

// aType names a type in a sentence.
func aType(t cty.Type) string {
	switch {
	case t == cty.String:
		return "a text"
	case t == cty.Number:
		return "a number"
	case t == cty.Bool:
		return "true or false"
	case t == cty.List(cty.String):
		return "a list of texts"
	case isList(t):
		return "a list"
	case isObject(t):
		return "an object"
	}
	return "a " + t.FriendlyName()
}

// Functions that instrument puts into expressions: no identifiers, so that nobody can call them.
const (
	listName    = "[for]"
	textName    = "${}"
	equalName   = "=="
	operandName = "&&"
	divisorName = "/"
)

// instrument makes every template write numbers as doubles, and counts the elements that for
// expressions go through. A comparison of two types, an operand of && or || without a
// value, and a division by 0 become errors.
func (p *Pipeline) instrument(n hclsyntax.Node) {
	call := func(name string, args ...hclsyntax.Expression) hclsyntax.Expression {
		if args[0] == nil {
			return nil
		}
		rng := hcl.RangeBetween(args[0].Range(), args[len(args)-1].Range())
		return &hclsyntax.FunctionCallExpr{Name: name, Args: args,
			NameRange: rng, OpenParenRange: rng, CloseParenRange: rng}
	}
	visit(n, func(n hclsyntax.Node) {
		switch x := n.(type) {
		case *hclsyntax.ForExpr:
			x.CollExpr = call(listName, x.CollExpr)
		case *hclsyntax.TemplateExpr:
			for i, part := range x.Parts {
				if _, literal := part.(*hclsyntax.LiteralValueExpr); !literal {
					x.Parts[i] = call(textName, part)
				}
			}
		case *hclsyntax.BinaryOpExpr:
			switch x.Op {
			case hclsyntax.OpEqual, hclsyntax.OpNotEqual:
				yes := &hclsyntax.LiteralValueExpr{Val: cty.True, SrcRange: x.RHS.Range()}
				x.LHS, x.RHS = call(equalName, x.LHS, x.RHS), yes
			case hclsyntax.OpLogicalAnd, hclsyntax.OpLogicalOr:
				x.LHS, x.RHS = call(operandName, x.LHS), call(operandName, x.RHS)
			case hclsyntax.OpModulo, hclsyntax.OpDivide:
				x.RHS = call(divisorName, x.RHS)
			}
		}
	})
}

var anyParam = function.Parameter{Name: "value", Type: cty.DynamicPseudoType, AllowNull: true,
	AllowUnknown: true, AllowDynamicType: true, AllowMarked: true}

// equalFunc compares two values.
var equalFunc = dynamic([]function.Parameter{anyParam, anyParam},
	func(args []cty.Value) (cty.Value, error) {
		if err := neverEqual(args[0].Type(), args[1].Type()); err != nil {
			return cty.DynamicVal, err
		}
		return stdlib.EqualFunc.Call(args)
	})

// neverEqual is an error for values of two types that are never equal.
func neverEqual(a, b cty.Type) error {
	if b == cty.String {
		a, b = b, a
	}
	switch {
	case a == cty.DynamicPseudoType || b == cty.DynamicPseudoType:
		return nil // as of null
	case isList(a) && isList(b):
		return neverEqual(elementType(a), elementType(b))
	case a.Equals(b) || !a.IsPrimitiveType() && !b.IsPrimitiveType():
		return nil
	case a == cty.String && b.IsPrimitiveType():
		return fmt.Errorf("a text never equals %s: write to%s(...) for the text. A column of "+
			"numbers of your own is declared as: column \"NAME\" { type = number }", aType(b),
			b.FriendlyName())
	}
	return fmt.Errorf("%s never equals %s: compare values of one type", aType(a), aType(b))
}

func notNull(v cty.Value) (cty.Value, error) {
	if v.IsNull() {
		return v, errors.New("one side has no value (null): " + emptyHint)
	}
	return v, nil
}

func notZero(v cty.Value) (cty.Value, error) {
	if v.Type() == cty.Number && v.IsKnown() && !v.IsNull() && v.RawEquals(cty.Zero) {
		return v, errors.New("a division by 0 has no result")
	}
	return v, nil
}

// through is a function that hands its argument on, after a look at it.
func (p *Pipeline) through(look func(cty.Value) (cty.Value, error)) function.Function {
	return dynamic([]function.Parameter{anyParam}, func(args []cty.Value) (cty.Value, error) {
		p.watch.pass()
		return look(args[0])
	})
}

// A text of ignore_changes is marked at both ends. No word or environment may have a NUL.
const ignoreOpen, ignoreClose = "\x00\x01", "\x00\x02"

func ignored(value string) string { return ignoreOpen + unmarked(value) + ignoreClose }

// unmarked is a text as the program gets it.
func unmarked(text string) string {
	if !strings.Contains(text, ignoreOpen) {
		return text
	}
	return strings.NewReplacer(ignoreOpen, "", ignoreClose, "").Replace(text)
}

// hashed is a text as the fingerprint has it.
func hashed(text string) string {
	for {
		before, rest, found := strings.Cut(text, ignoreOpen)
		_, after, closed := strings.Cut(rest, ignoreClose)
		if !found || !closed {
			return text
		}
		text = before + "(any)" + after
	}
}

// allDigits reports whether all digits of a finite number are written: a whole one below 1e21.
func allDigits(v cty.Value) bool {
	f := new(big.Float).Abs(v.AsBigFloat())
	return f.IsInt() && f.Sign() > 0 && f.Cmp(big.NewFloat(1e21)) < 0
}
