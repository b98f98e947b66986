package pipeline

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// Bounds of what a file may ask for. All are far beyond any pipeline that a person writes: they turn a slip that would fill the
// memory, or hang, into a message.
const (
	maxFileSize     = 64 << 20  // bytes of every text that file() reads into an expression
	maxPipelineSize = 256 << 10 // bytes of pipeline.hcl, of a file of values and of a template
	maxDepth        = 400       // brackets and operators that are open at one place: parser and evaluation recurse
	maxBlocks       = 1000      // blocks of pipeline.hcl
	maxMistakes     = 50        // mistakes that are shown
	maxValue        = 16 << 20  // bytes, nearly, of a value while the file is checked
	maxWork         = 256 << 20 // bytes, nearly, of all values that functions and for expressions handle while it is checked
	maxPieces       = 5000      // of a text that is written out: the parser takes the square of their number
	maxTypes        = 200_000   // parts of the type of a stage's values
	elementCost     = 16 << 10  // what an element of a for expression costs, of maxWork
	callCost        = 512       // what a call of a function costs
	maxItems        = 2000      // of a list that is written out
	maxDigits       = 400       // of a number that is written out
)

// checkNesting finds, before the parser recurses into it, what is nested too deeply, and numbers that no computation holds.
func checkNesting(src []byte, path string) *hcl.Diagnostic {
	tokens, _ := hclsyntax.LexConfig(src, path, hcl.InitialPos)
	return nesting(tokens)
}

// nesting counts, for every bracket that is open, the operators since it or since its last comma: a + b + c is as deep as it is long.
func nesting(tokens hclsyntax.Tokens) *hcl.Diagnostic {
	type level struct {
		count int
		items int  // commas of a list; pieces of a text: lines, and what stands between $ or % signs
		lines bool // a line's end ends an expression
	}
	levels, total := []level{{lines: true}}, 0
	top := func() *level { return &levels[len(levels)-1] }
	add := func(n int) { top().count += n; total += n }
	atEnd, operator := false, false // after a line's end, after an operator
	for _, t := range tokens {
		chained := isOperator(t.Type) || t.Type == hclsyntax.TokenOBrack
		if atEnd && !chained && t.Type != hclsyntax.TokenNewline && t.Type != hclsyntax.TokenComment {
			add(-top().count)
			atEnd = false
		}
		switch t.Type {
		case hclsyntax.TokenComment:
			continue
		case hclsyntax.TokenNewline:
			atEnd = atEnd || (top().lines && !operator)
			continue
		case hclsyntax.TokenComma:
			add(-top().count)
			if top().items++; top().items > maxItems {
				return wrong(t.Range, "List too long", fmt.Sprintf("A list has at most %d elements. Keep data in a file of its own, and read it with jsondecode(file(...)) or csvdecode(file(...)).", maxItems))
			}
		case hclsyntax.TokenOBrace, hclsyntax.TokenOBrack, hclsyntax.TokenOParen, hclsyntax.TokenTemplateInterp, hclsyntax.TokenTemplateControl,
			hclsyntax.TokenOQuote, hclsyntax.TokenOHeredoc:
			if t.Type == hclsyntax.TokenOBrack || t.Type == hclsyntax.TokenTemplateControl {
				add(1) // a[0][0] and %{if}%{if} nest without standing in each other
			}
			levels = append(levels, level{lines: t.Type == hclsyntax.TokenOBrace})
			total++
		case hclsyntax.TokenCBrace, hclsyntax.TokenCBrack, hclsyntax.TokenCParen, hclsyntax.TokenTemplateSeqEnd, hclsyntax.TokenCQuote, hclsyntax.TokenCHeredoc:
			if len(levels) > 1 {
				add(-top().count)
				levels = levels[:len(levels)-1]
				total--
			}
		case hclsyntax.TokenQuotedLit, hclsyntax.TokenStringLit:
			if top().items++; top().items > maxPieces {
				return wrong(t.Range, "Text too long", fmt.Sprintf("A text has at most %d lines and filled-in places. Keep it in a file of its own, for source = or file().", maxPieces))
			}
		case hclsyntax.TokenNumberLit:
			if !bearable(string(t.Bytes)) {
				return wrong(t.Range, "Number out of range", "A number has at most 400 digits and lies between 1e-308 and 1e308.")
			}
		}
		atEnd, operator = false, isOperator(t.Type)
		if operator {
			add(1)
		}
		if total > maxDepth {
			return wrong(t.Range, "Nesting too deep", fmt.Sprintf("More than %d brackets and operators are open here. Give parts of it a name in a locals block.", maxDepth))
		}
	}
	return nil
}

func isOperator(t hclsyntax.TokenType) bool {
	switch t {
	case hclsyntax.TokenPlus, hclsyntax.TokenMinus, hclsyntax.TokenStar, hclsyntax.TokenSlash, hclsyntax.TokenPercent, hclsyntax.TokenBang, hclsyntax.TokenAnd,
		hclsyntax.TokenOr, hclsyntax.TokenEqualOp, hclsyntax.TokenNotEqual, hclsyntax.TokenLessThan, hclsyntax.TokenLessThanEq, hclsyntax.TokenGreaterThan,
		hclsyntax.TokenGreaterThanEq, hclsyntax.TokenQuestion, hclsyntax.TokenColon:
		return true
	}
	return false
}

// bearable tells whether a number as it is written has few digits and is a finite double, or zero.
func bearable(text string) bool {
	f, err := strconv.ParseFloat(text, 64)
	mantissa, _, _ := strings.Cut(strings.ToLower(text), "e")
	return err == nil && len(text) <= maxDigits && (f != 0 || strings.Trim(mantissa, "0.") == "")
}

var errTooLarge = errors.New("this makes a value of more than 16 MB, and a pipeline is no place for so much data")

// weight is nearly the bytes that a value takes; it stops counting beyond the limit.
func weight(v cty.Value, limit int) int {
	n := 32
	switch {
	case !v.IsKnown() || v.IsNull():
	case v.Type() == cty.String:
		n += len(v.AsString())
	case v.CanIterateElements():
		for it := v.ElementIterator(); it.Next() && n <= limit; {
			_, e := it.Element()
			n += weight(e, limit-n)
		}
	}
	return n
}

// typeSize counts the parts of a type, up to the limit.
func typeSize(t cty.Type, limit int) int {
	n := 1
	switch {
	case t.IsCollectionType():
		n += typeSize(t.ElementType(), limit)
	case t.IsTupleType():
		for _, e := range t.TupleElementTypes() {
			if n > limit {
				break
			}
			n += typeSize(e, limit-n)
		}
	case t.IsObjectType():
		for _, e := range t.AttributeTypes() {
			if n > limit {
				break
			}
			n += typeSize(e, limit-n)
		}
	}
	return n
}

// value evaluates an expression while the file is checked: within the bounds, with messages in the user's words.
func (p *Pipeline) value(e hcl.Expression, ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	if e == nil {
		return cty.DynamicVal, nil
	}
	sum := 0
	for _, t := range e.Variables() {
		if name, ok := attrAt(t, 1); ok && t.RootName() == "local" && p.locals[name] != nil {
			sum += p.locals[name].weight
		} else if ok && t.RootName() == "var" && p.variables[name] != nil {
			sum += p.variables[name].weight
		}
	}
	if sum > 4*maxValue {
		return cty.DynamicVal, hcl.Diagnostics{wrong(e.Range(), "Value too large", sentence(errTooLarge.Error()))}
	}
	v, diags := e.Value(ctx)
	if diags = soften(diags); diags.HasErrors() {
		return cty.DynamicVal, diags
	}
	if weight(v, maxValue) > maxValue {
		return cty.DynamicVal, hcl.Diagnostics{wrong(e.Range(), "Value too large", sentence(errTooLarge.Error()))}
	}
	if v.Type() == cty.Number && v.IsKnown() && !v.IsNull() && !finite(v) {
		return cty.DynamicVal, hcl.Diagnostics{wrong(e.Range(), "Number out of range", sentence(errInfinite.Error()))}
	}
	return v, diags
}

var errInfinite = errors.New("the number is infinite (a division by zero?), or larger than 1e308")

// finite tells whether a number is one that a double can hold.
func finite(v cty.Value) bool {
	f := v.AsBigFloat()
	return !f.IsInf() && f.MantExp(nil) <= 1024
}

// spend takes some of the work that a check may do. Once the file is checked, it runs for its own molecules, not for ever.
func (p *Pipeline) spend(n int) error {
	if !p.checking {
		return nil
	}
	if p.work += n; p.work > maxWork {
		return errors.New("this takes too long: for expressions and functions handle more than 256 MB before any molecule is looked at")
	}
	return nil
}

func (p *Pipeline) cost(args []cty.Value) (n int) {
	for _, a := range args {
		if p.checking && n < maxWork {
			n += weight(a, maxWork-n)
			if t := a.Type(); t.IsTupleType() && a.IsKnown() && !a.IsNull() {
				n += min(t.Length()*t.Length()/4, maxWork) // to make a list of it, each type is compared with each
			}
		}
	}
	return n
}

// guard bounds a standard function: its arguments by its own rule, where it has one, and its result.
func (p *Pipeline) guard(name string, f function.Function) function.Function {
	before := beforeCall[name]
	open := func(q function.Parameter) function.Parameter { // f itself decides on what it allows
		q.AllowNull, q.AllowUnknown, q.AllowDynamicType, q.AllowMarked = true, true, true, true
		return q
	}
	spec := &function.Spec{}
	for _, q := range f.Params() {
		spec.Params = append(spec.Params, open(q))
	}
	if q := f.VarParam(); q != nil {
		rest := open(*q)
		spec.VarParam = &rest
	}
	check := func(args []cty.Value) error {
		if err := p.spend(callCost + p.cost(args)); err != nil || before == nil {
			return err
		}
		if !allKnown(args) || slices.ContainsFunc(args, func(a cty.Value) bool { return a.IsNull() }) {
			return nil
		}
		return before(args)
	}
	spec.Type = func(args []cty.Value) (cty.Type, error) {
		if err := check(args); err != nil { // some do their work to find the type
			return cty.NilType, err
		}
		return f.ReturnTypeForValues(args)
	}
	spec.Impl = func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		args = slices.Clone(args)
		for i, a := range args {
			var err error
			if args[i], err = asDouble(a); err != nil {
				return cty.NilVal, function.NewArgError(i, err)
			}
		}
		v, err := f.Call(args)
		if err != nil {
			return v, err
		}
		if i := slices.IndexFunc(args, func(a cty.Value) bool { return a.IsNull() }); i >= 0 && !v.IsKnown() && allKnown(args) {
			return cty.NilVal, function.NewArgErrorf(i, nullArgument) // a null without a type is taken for something unknown
		}
		if v.Type() == cty.Number && v.IsKnown() && !v.IsNull() && !finite(v) {
			return cty.NilVal, errInfinite
		}
		if p.checking && weight(v, maxValue) > maxValue {
			return cty.NilVal, errTooLarge
		}
		return v, p.spend(p.cost([]cty.Value{v}))
	}
	return function.New(spec)
}

var wideVerb = regexp.MustCompile(`%[^%a-zA-Z]*[0-9]{4}`)

// beforeCall has the rules for the arguments, known and not null, of functions whose result can be much larger than they are.
var beforeCall = map[string]func(args []cty.Value) error{
	"format":     limitFormat,
	"formatlist": limitFormat,
	"replace": func(a []cty.Value) error {
		return limit(strings.Count(a[0].AsString(), a[1].AsString()), len(a[2].AsString()))
	},
	"indent": func(a []cty.Value) error {
		if n := toFloat(a[0]); n < 0 || n > 1000 {
			return function.NewArgErrorf(0, "must be from 0 to 1000")
		}
		return limit(strings.Count(a[1].AsString(), "\n"), int(toFloat(a[0])))
	},
	"join": func(a []cty.Value) error {
		n := 0
		for _, l := range a[1:] {
			n += l.LengthInt()
		}
		return limit(n, len(a[0].AsString()))
	},
	"distinct": func(a []cty.Value) error {
		if a[0].LengthInt() > 10_000 {
			return function.NewArgErrorf(0, "has more than 10000 elements")
		}
		return nil
	},
	"jsondecode": func(a []cty.Value) error {
		var v json.RawMessage // the decoder below recurses as deep as the text says; this one does not
		if err := json.Unmarshal([]byte(a[0].AsString()), &v); err != nil {
			return function.NewArgErrorf(0, "is not JSON: %s", err)
		}
		return nil
	},
	"parseint": func(a []cty.Value) error {
		if a[0].Type() == cty.String && len(a[0].AsString()) > maxDigits {
			return function.NewArgErrorf(0, "has more than %d digits", maxDigits)
		}
		return nil
	},
	"tonumber": func(a []cty.Value) error {
		if a[0].Type() == cty.String && len(a[0].AsString()) > 10 && !bearable(strings.TrimSpace(a[0].AsString())) {
			return function.NewArgErrorf(0, "is not a number, or not one between 1e-308 and 1e308")
		}
		return nil
	},
}

func limit(times, size int) error {
	if times > 0 && size > maxValue/times {
		return errTooLarge
	}
	return nil
}

func limitFormat(a []cty.Value) error {
	form := a[0].AsString()
	if wideVerb.MatchString(form) {
		return function.NewArgErrorf(0, "has a width or a precision of more than 999")
	}
	n, size := 1, len(form)
	for _, v := range a[1:] {
		if size += weight(v, maxValue); v.CanIterateElements() {
			n = max(n, v.LengthInt())
		}
	}
	return limit(n*strings.Count(form, "%"), size)
}
