package pipeline

import (
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// Function is a Go function that expressions may call by name. Fn takes and gives strings, numbers, booleans,
// slices and structs (see typeOf), and may give an error as its last result: that error's text is what the user
// reads.
type Function struct {
	Name, Description, Example string
	Fn                         any
	Version                    int // bumped when the same bytes give another result: values are then read again
}

// Doc describes a function to the user.
type Doc struct{ Name, Description, Example string }

type standard struct {
	Doc
	fn function.Function
}

// standardFunctions are the functions of every pipeline, in the order of the reference: go-cty's by their usual names, then ours.
func standardFunctions() []standard {
	s := func(name, description, example string, fn function.Function) standard {
		return standard{Doc{name, description, example}, fn}
	}
	return []standard{
		s("abs", "The absolute value of a number.", "abs(-3) is 3", stdlib.AbsoluteFunc),
		s("ceil", "The smallest whole number that is not less.", "ceil(1.2) is 2", stdlib.CeilFunc),
		s("floor", "The greatest whole number that is not more.", "floor(1.8) is 1", stdlib.FloorFunc),
		s("max", "The greatest of its arguments.", "max(1, 3, 2) is 3", stdlib.MaxFunc),
		s("min", "The least of its arguments; a list is expanded with three dots.", "min([3, 1]...) is 1", stdlib.MinFunc),
		s("pow", "A number raised to a power.", "pow(2, 3) is 8", stdlib.PowFunc),
		s("log", "The logarithm of a number to a base.", "log(8, 2) is 3", stdlib.LogFunc),
		s("signum", "-1, 0 or 1, by the sign of a number.", "signum(-5) is -1", stdlib.SignumFunc),
		s("round", "A number rounded to so many decimals.", "round(2.34567, 2) is 2.35", roundFunc),
		s("sum", "The sum of a list of numbers.", "sum([1, 2, 3]) is 6", sumFunc),
		s("parseint", "A text read as a whole number in a base.", `parseint("ff", 16) is 255`, stdlib.ParseIntFunc),
		s("format", "A text made as by printf.", `format("%.2f", 1.5) is "1.50"`, stdlib.FormatFunc),
		s("formatlist", "format over the elements of lists.", `formatlist("c%d", [1, 2]) is ["c1", "c2"]`, stdlib.FormatListFunc),
		s("join", "The elements of a list of texts with a separator between them.", `join(" ", ["a", "b"]) is "a b"`, stdlib.JoinFunc),
		s("split", "A text cut at a separator.", `split(",", "a,b") is ["a", "b"]`, stdlib.SplitFunc),
		s("lower", "A text in lower case.", `lower("AB") is "ab"`, stdlib.LowerFunc),
		s("upper", "A text in upper case.", `upper("ab") is "AB"`, stdlib.UpperFunc),
		s("title", "A text with each word's first letter in upper case.", `title("ab") is "Ab"`, stdlib.TitleFunc),
		s("trim", "A text without the given characters at its ends.", `trim("--a-", "-") is "a"`, stdlib.TrimFunc),
		s("trimprefix", "A text without a prefix.", `trimprefix("mol_1", "mol_") is "1"`, stdlib.TrimPrefixFunc),
		s("trimsuffix", "A text without a suffix.", `trimsuffix("a.xyz", ".xyz") is "a"`, stdlib.TrimSuffixFunc),
		s("trimspace", "A text without white space at its ends.", `trimspace(" a ") is "a"`, stdlib.TrimSpaceFunc),
		s("chomp", "A text without line breaks at its end.", `chomp("a\n") is "a"`, stdlib.ChompFunc),
		s("indent", "A text whose lines after the first are indented.", `indent(2, "a\nb") is "a\n  b"`, stdlib.IndentFunc),
		s("replace", "A text with every occurrence of another replaced.", `replace("a-b", "-", "_") is "a_b"`, stdlib.ReplaceFunc),
		s("substr", "A part of a text: offset and length.", `substr("PM7", 0, 2) is "PM"`, stdlib.SubstrFunc),
		s("strlen", "The number of characters of a text.", `strlen("PM7") is 3`, stdlib.StrlenFunc),
		s("regex", "What a regular expression matches first; its groups, where it has some. No match is an error.", `regex("E= *([-0-9.]+)", "E= -1.5") is ["-1.5"]`, stdlib.RegexFunc),
		s("regexall", "All matches of a regular expression.", `regexall("[0-9]+", "1 22") is ["1", "22"]`, stdlib.RegexAllFunc),
		s("length", "The number of elements of a list or an object.", `length(["a", "b"]) is 2`, stdlib.LengthFunc),
		s("element", "An element of a list; the index wraps around.", `element(["a", "b"], 2) is "a"`, stdlib.ElementFunc),
		s("first", "At most so many elements from the beginning of a list.", `first(2, [5, 6, 7]) is [5, 6]`, firstFunc),
		s("slice", "The elements of a list from one index up to another.", `slice([5, 6, 7], 1, 3) is [6, 7]`, stdlib.SliceFunc),
		s("concat", "Lists joined into one.", `concat([1], [2]) is [1, 2]`, stdlib.ConcatFunc),
		s("contains", "Whether a list has an element.", `contains(["a"], "a") is true`, stdlib.ContainsFunc),
		s("distinct", "A list without repeated elements.", `distinct([1, 1]) is [1]`, stdlib.DistinctFunc),
		s("compact", "A list of texts without empty ones.", `compact(["", "a"]) is ["a"]`, stdlib.CompactFunc),
		s("flatten", "A list of lists as one list.", `flatten([[1], [2]]) is [1, 2]`, stdlib.FlattenFunc),
		s("reverse", "A list backwards.", `reverse([1, 2]) is [2, 1]`, stdlib.ReverseListFunc),
		s("sort", "A list of texts in order.", `sort(["b", "a"]) is ["a", "b"]`, stdlib.SortFunc),
		s("range", "A list of numbers.", `range(3) is [0, 1, 2]`, stdlib.RangeFunc),
		s("keys", "The names in an object.", `keys({ a = 1 }) is ["a"]`, stdlib.KeysFunc),
		s("values", "The values in an object, by name.", `values({ a = 1 }) is [1]`, stdlib.ValuesFunc),
		s("lookup", "A value of an object by name, or a default.", `lookup({ a = 1 }, "b", 0) is 0`, stdlib.LookupFunc),
		s("merge", "Objects joined into one; later ones win.", `merge({ a = 1 }, { b = 2 }) is { a = 1, b = 2 }`, stdlib.MergeFunc),
		s("zipmap", "An object from a list of names and a list of values.", `zipmap(["a"], [1]) is { a = 1 }`, stdlib.ZipmapFunc),
		s("coalesce", "The first argument that is not null.", `coalesce(null, 2) is 2`, stdlib.CoalesceFunc),
		s("jsondecode", "A JSON text as a value.", `jsondecode("[1]") is [1]`, stdlib.JSONDecodeFunc),
		s("jsonencode", "A value as a JSON text.", `jsonencode([1]) is "[1]"`, stdlib.JSONEncodeFunc),
		s("csvdecode", "A CSV text as a list of objects.", `csvdecode("a\n1")[0].a is "1"`, stdlib.CSVDecodeFunc),
		s("tostring", "A value as a text.", `tostring(1.5) is "1.5"`, stdlib.MakeToFunc(cty.String)),
		s("tonumber", "A text as a number.", `tonumber("1.5") is 1.5`, stdlib.MakeToFunc(cty.Number)),
		s("tobool", `The text "true" or "false" as a boolean.`, `tobool("true") is true`, stdlib.MakeToFunc(cty.Bool)),
		s("try", "The first of its arguments that can be evaluated without an error.", `try(tonumber("x"), 0) is 0`, tryFunc),
		s("can", "Whether its argument can be evaluated without an error.", `can(tonumber("x")) is false`, canFunc),
		s("status", `What became of a stage: "OK" (or the word given), "FAILED", "NOT_ATTEMPTED".`, `status(stage.search, "SUCCESS")`, statusFunc),
		s("seconds", "The wall time of a stage in seconds, all its targets together; null where it didn't run.", `seconds(stage.search)`, secondsFunc),
	}
}

// Docs lists every function that a pipeline with these additional ones may call, in the order of the reference.
func Docs(more []Function) []Doc {
	var out []Doc
	for _, s := range standardFunctions() {
		out = append(out, s.Doc)
	}
	out = append(out, Doc{fileName, fileDescription, fileExample}, Doc{templateName, templateDescription, templateExample},
		Doc{ignoreName, ignoreDescription, ignoreExample})
	for _, f := range more {
		out = append(out, Doc{f.Name, f.Description, f.Example})
	}
	return out
}

func (p *Pipeline) functionTable(more []Function) map[string]function.Function {
	table := map[string]function.Function{}
	for _, s := range standardFunctions() {
		table[s.Name] = p.guard(s.Name, s.fn)
	}
	table[elementName], table[textName] = through(p.countElement), through(asDouble)
	table[fileName] = p.fileFunc()
	for _, f := range more {
		table[f.Name] = adapt(f.Fn)
		p.versions[f.Name] = f.Version
	}
	table[templateName] = p.templateFunc(maps.Clone(table)) // a template calls no templates: that could go round in a circle
	table[ignoreName] = p.guard(ignoreName, ignoreFunc)
	return table
}

// adapt makes a Go function callable from expressions. It panics for a function of a type that expressions can't
// have, which the first test of such a function shows.
func adapt(fn any) function.Function {
	v := reflect.ValueOf(fn)
	t := v.Type()
	param := func(i int, t reflect.Type) function.Parameter {
		ct, err := typeOf(t)
		if err != nil {
			panic(err)
		}
		return function.Parameter{Name: fmt.Sprintf("argument %d", i+1), Type: ct, AllowMarked: true, // nothing here marks values; cty would look for marks in each
			AllowNull: t.Kind() == reflect.Pointer || t.Kind() == reflect.Interface}
	}
	spec := &function.Spec{}
	fixed := t.NumIn()
	if t.IsVariadic() {
		fixed--
		rest := param(fixed, t.In(fixed).Elem())
		spec.VarParam = &rest
	}
	for i := range fixed {
		spec.Params = append(spec.Params, param(i, t.In(i)))
	}
	ret, err := typeOf(t.Out(0))
	if err != nil {
		panic(err)
	}
	spec.Type = function.StaticReturnType(ret)
	spec.Impl = func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		if !allKnown(args) {
			return cty.UnknownVal(ret), nil
		}
		in := make([]reflect.Value, len(args))
		for i, a := range args {
			at := t.In(min(i, t.NumIn()-1))
			if t.IsVariadic() && i >= fixed {
				at = at.Elem()
			}
			in[i] = reflect.New(at).Elem()
			if err := intoReflect(a, in[i]); err != nil {
				return cty.NilVal, function.NewArgError(i, err)
			}
		}
		out := v.Call(in)
		if last := out[len(out)-1]; len(out) > 1 && !last.IsNil() {
			return cty.NilVal, &callError{last.Interface().(error)}
		}
		return fromReflect(out[0]), nil
	}
	return function.New(spec)
}

// allKnown tells whether nothing in the arguments is unknown, as things are while the file is checked.
func allKnown(args []cty.Value) bool {
	return !slices.ContainsFunc(args, func(v cty.Value) bool { return !v.IsWhollyKnown() })
}

// callError is an error that one of the handed-in functions gave, to tell it from an expression's own mistakes.
type callError struct{ error }

func (e *callError) Unwrap() error { return e.error }
