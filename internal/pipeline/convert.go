package pipeline

import (
	"fmt"
	"math"
	"math/big"
	"reflect"
	"strconv"
	"strings"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// fromGo turns a plain value (as Go code or encoding/json makes it) into one for expressions.
func fromGo(v any) cty.Value {
	switch x := v.(type) {
	case nil:
		return cty.NullVal(cty.DynamicPseudoType)
	case string:
		return cty.StringVal(x)
	case bool:
		return cty.BoolVal(x)
	case int:
		return cty.NumberIntVal(int64(x))
	case int64:
		return cty.NumberIntVal(x)
	case float64:
		return number(x)
	case []any:
		elems := make([]cty.Value, len(x))
		for i := range x {
			elems[i] = fromGo(x[i])
		}
		return cty.TupleVal(elems)
	case map[string]any:
		attrs := make(map[string]cty.Value, len(x))
		for k, e := range x {
			attrs[k] = fromGo(e)
		}
		return cty.ObjectVal(attrs)
	}
	return fromReflect(reflect.ValueOf(v))
}

// number is the decimal number that a double is written as, so that 0.1 in the file and 0.1 in a cell are the same.
func number(x float64) cty.Value {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return cty.NullVal(cty.Number)
	}
	if x == math.Trunc(x) && math.Abs(x) < 1<<53 {
		return cty.NumberIntVal(int64(x))
	}
	return cty.MustParseNumberVal(strconv.FormatFloat(x, 'g', -1, 64))
}

// toGo is the way back: nil, string (UTF-8), bool, float64 (finite), []any, map[string]any: what JSON keeps as it is.
func toGo(v cty.Value) (any, error) {
	if !v.IsKnown() {
		return nil, fmt.Errorf("the value is not known")
	}
	if v.IsNull() {
		return nil, nil
	}
	t := v.Type()
	switch {
	case t == cty.String:
		return strings.ToValidUTF8(v.AsString(), "\uFFFD"), nil // as JSON would keep it
	case t == cty.Bool:
		return v.True(), nil
	case t == cty.Number:
		if !finite(v) {
			return nil, errInfinite
		}
		x := toFloat(v)
		if whole(v) && !number(x).RawEquals(v) {
			return nil, fmt.Errorf("a whole number has more digits than are kept: %s; write it as a text",
				v.AsBigFloat().Text('f', 0))
		}
		return x, nil
	case t.IsListType() || t.IsTupleType() || t.IsSetType():
		out := make([]any, 0, v.LengthInt())
		for _, e := range v.AsValueSlice() {
			g, err := toGo(e)
			if err != nil {
				return nil, err
			}
			out = append(out, g)
		}
		return out, nil
	case t.IsMapType() || t.IsObjectType():
		out := make(map[string]any, v.LengthInt())
		for k, e := range v.AsValueMap() {
			g, err := toGo(e)
			if err != nil {
				return nil, err
			}
			out[k] = g
		}
		return out, nil
	}
	return nil, fmt.Errorf("%s can't be kept", aType(t))
}

// whole reports whether a finite number is a whole one below 1e21: all of its digits are written.
func whole(v cty.Value) bool {
	f := new(big.Float).Abs(v.AsBigFloat())
	return f.IsInt() && f.Sign() > 0 && f.Cmp(big.NewFloat(1e21)) < 0
}

func toFloat(v cty.Value) float64 {
	f, _ := v.AsBigFloat().Float64()
	return f
}

// typeOf is the cty type of a Go type that functions take and give: string, bool, numbers, pointers to them (null
// possible), slices, and structs by the json names of their exported fields.
func typeOf(t reflect.Type) (cty.Type, error) {
	switch t.Kind() {
	case reflect.String:
		return cty.String, nil
	case reflect.Bool:
		return cty.Bool, nil
	case reflect.Int, reflect.Int64, reflect.Float64:
		return cty.Number, nil
	case reflect.Pointer:
		return typeOf(t.Elem())
	case reflect.Interface:
		return cty.DynamicPseudoType, nil
	case reflect.Slice:
		e, err := typeOf(t.Elem())
		if err == nil && e.HasDynamicTypes() {
			return cty.DynamicPseudoType, nil // its elements may be of several types
		}
		return cty.List(e), err
	case reflect.Struct:
		attrs := map[string]cty.Type{}
		for i := range t.NumField() {
			if name := fieldName(t.Field(i)); name != "" {
				ft, err := typeOf(t.Field(i).Type)
				if err != nil {
					return cty.NilType, err
				}
				attrs[name] = ft
			}
		}
		return cty.Object(attrs), nil
	}
	return cty.NilType, fmt.Errorf("expressions have no type for Go's %s", t)
}

func fieldName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	if !f.IsExported() || name == "-" {
		return ""
	}
	return name
}

// fromReflect turns a Go value of a type that typeOf knows into exactly that cty type.
func fromReflect(v reflect.Value) cty.Value {
	if !v.IsValid() {
		return cty.NullVal(cty.DynamicPseudoType)
	}
	t, err := typeOf(v.Type())
	if err != nil {
		return cty.NullVal(cty.DynamicPseudoType)
	}
	switch v.Kind() {
	case reflect.String:
		return cty.StringVal(v.String())
	case reflect.Bool:
		return cty.BoolVal(v.Bool())
	case reflect.Int, reflect.Int64:
		return cty.NumberIntVal(v.Int())
	case reflect.Float64:
		return number(v.Float())
	case reflect.Pointer:
		if v.IsNil() {
			return cty.NullVal(t)
		}
		return fromReflect(v.Elem())
	case reflect.Interface:
		if v.IsNil() {
			return cty.NullVal(cty.DynamicPseudoType)
		}
		return fromGo(v.Interface())
	case reflect.Slice:
		elems := make([]cty.Value, v.Len())
		for i := range elems {
			elems[i] = fromReflect(v.Index(i))
		}
		switch {
		case !t.IsListType():
			return cty.TupleVal(elems)
		case len(elems) == 0:
			return cty.ListValEmpty(t.ElementType())
		}
		return cty.ListVal(elems)
	}
	attrs := map[string]cty.Value{}
	for i := range v.NumField() {
		if name := fieldName(v.Type().Field(i)); name != "" {
			attrs[name] = fromReflect(v.Field(i))
		}
	}
	return cty.ObjectVal(attrs)
}

// intoReflect sets a Go value of a type that typeOf knows from a cty value of that type.
func intoReflect(v cty.Value, into reflect.Value) error {
	if into.Kind() == reflect.Interface {
		g, err := toGo(v)
		if err == nil && g != nil {
			into.Set(reflect.ValueOf(g))
		}
		return err
	}
	if into.Kind() == reflect.Pointer {
		if v.IsNull() {
			into.SetZero()
			return nil
		}
		into.Set(reflect.New(into.Type().Elem()))
		return intoReflect(v, into.Elem())
	}
	if v.IsNull() {
		return fmt.Errorf("a value is missing")
	}
	switch into.Kind() {
	case reflect.String:
		into.SetString(v.AsString())
	case reflect.Bool:
		into.SetBool(v.True())
	case reflect.Int, reflect.Int64:
		n, acc := v.AsBigFloat().Int64()
		if acc != big.Exact {
			return fmt.Errorf("%s is not a whole number", v.AsBigFloat().Text('g', 10))
		}
		into.SetInt(n)
	case reflect.Float64:
		into.SetFloat(toFloat(v))
	case reflect.Slice:
		elems := v.AsValueSlice()
		into.Set(reflect.MakeSlice(into.Type(), len(elems), len(elems)))
		for i, e := range elems {
			if err := intoReflect(e, into.Index(i)); err != nil {
				return err
			}
		}
	case reflect.Struct:
		for i := range into.NumField() {
			if name := fieldName(into.Type().Field(i)); name != "" {
				if err := intoReflect(v.GetAttr(name), into.Field(i)); err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
			}
		}
	}
	return nil
}

// asType gives recorded values the types that the checked file says they have; a value that no longer fits is null.
func asType(v cty.Value, want cty.Type) cty.Value {
	if want.HasDynamicTypes() {
		return v
	}
	if c, err := convert.Convert(v, want); err == nil {
		return c
	}
	return cty.NullVal(want)
}
