package pipeline

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/hashicorp/hcl/v2/ext/tryfunc"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
	"github.com/zclconf/go-cty/cty/gocty"
)

// Function is a Go function that expressions may call by name. Fn takes and gives what gocty knows:
// strings, numbers, booleans, slices, structs by their cty tags, pointers for what may be null. It
// may give an error as its last result: that error's text is what the user reads.
type Function struct {
	Name string
	Fn   any
	// bumped when the same bytes give another result: values are then read again
	Version int
	Params  []string // names of its parameters, for messages
	Files   int      // so many of the first parameters are files of a stage
}

// standard are go-cty's functions by their usual names, then the project's own. Functions that read
// files are added later.
var standard = map[string]function.Function{
	"abs": stdlib.AbsoluteFunc, "ceil": stdlib.CeilFunc, "floor": stdlib.FloorFunc,
	"max": stdlib.MaxFunc, "min": stdlib.MinFunc, "pow": stdlib.PowFunc, "log": stdlib.LogFunc,
	"signum": stdlib.SignumFunc, "round": adapt(round, "number", "decimals"), "sum": sumFunc,
	"parseint": stdlib.ParseIntFunc, "format": stdlib.FormatFunc,
	"formatlist": stdlib.FormatListFunc, "join": stdlib.JoinFunc, "split": stdlib.SplitFunc,
	"lower": stdlib.LowerFunc, "upper": stdlib.UpperFunc, "title": stdlib.TitleFunc,
	"trim": stdlib.TrimFunc, "trimprefix": stdlib.TrimPrefixFunc,
	"trimsuffix": stdlib.TrimSuffixFunc, "trimspace": stdlib.TrimSpaceFunc,
	"chomp": stdlib.ChompFunc, "indent": stdlib.IndentFunc, "replace": stdlib.ReplaceFunc,
	"substr": stdlib.SubstrFunc, "strlen": stdlib.StrlenFunc, "regex": stdlib.RegexFunc,
	"regexall": stdlib.RegexAllFunc, "length": stdlib.LengthFunc, "element": stdlib.ElementFunc,
	"step": stepFunc, "first": firstFunc, "slice": stdlib.SliceFunc, "concat": stdlib.ConcatFunc,
	"contains": stdlib.ContainsFunc, "distinct": stdlib.DistinctFunc,
	"compact": stdlib.CompactFunc, "flatten": stdlib.FlattenFunc,
	"reverse": stdlib.ReverseListFunc, "sort": stdlib.SortFunc, "range": stdlib.RangeFunc,
	"keys": stdlib.KeysFunc, "values": stdlib.ValuesFunc, "lookup": stdlib.LookupFunc,
	"merge": stdlib.MergeFunc, "zipmap": stdlib.ZipmapFunc, "coalesce": stdlib.CoalesceFunc,
	"jsonencode": stdlib.JSONEncodeFunc, "csvdecode": stdlib.CSVDecodeFunc,
	"tostring": stdlib.MakeToFunc(cty.String), "tonumber": stdlib.MakeToFunc(cty.Number),
	"tobool": stdlib.MakeToFunc(cty.Bool), "try": tryfunc.TryFunc, "can": tryfunc.CanFunc,
	"status": statusFunc, "seconds": secondsFunc,
	"jsondecode": jsonFunc("text", func(text string) ([]byte, error) { return []byte(text), nil }),
	ignoreName:   adapt(ignored, "value"),
}

func (p *Pipeline) addFunctions(more []Function) {
	table := map[string]function.Function{}
	for name, f := range standard {
		table[name] = p.bounded(name, f)
	}
	p.fileParams = map[string]int{fileName: 1, jsonName: 1, templateName: 1}
	table[fileName] = ofFiles(1, nil, adapt(func(path string) (string, error) {
		data, err := p.read(path)
		return string(data), err
	}, "path"))
	table[jsonName] = ofFiles(1, nil, jsonFunc("path", p.read))
	for _, f := range more {
		table[f.Name] = adapt(f.Fn, f.Params...)
		if f.Files > 0 {
			table[f.Name] = ofFiles(f.Files, p.isOwn, table[f.Name])
		}
		p.versions[f.Name], p.fileParams[f.Name] = f.Version, f.Files
	}
	table[listName] = p.counting(nil) // a check ends by its watch
	table[textName], table[divisorName] = p.through(partOfText), p.through(notZero)
	table[equalName], table[operandName] = equalFunc, p.through(notNull)
	// A template calls no templates: that could go round in a circle.
	table[templateName] = ofFiles(1, nil, p.templateFunc(maps.Clone(table)))
	p.functions = table
}

// ofFiles is a function whose first parameters are files. A user's file must be named without the
// molecule: else nobody would see that it changed. Names that refused knows are not taken.
func ofFiles(files int, refused func(string) bool, f function.Function) function.Function {
	spec := &function.Spec{Params: f.Params(), Type: f.ReturnTypeForValues}
	for i := range files {
		spec.Params[i].AllowUnknown = true
	}
	spec.Impl = func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		for _, a := range args[:files] {
			name, ok := as[string](a)
			switch {
			case ok && refused != nil && refused(name):
				return cty.NilVal, &callError{fmt.Errorf("%s is no output of a stage, so that a "+
					"change of it would go unseen. A stage can have it as one: file %q { source = "+
					"%q }, command = [\"true\"] and outputs", name, filepath.Base(name), name)}
			case !a.IsKnown() && a.Type() == cty.String && a.Range().StringPrefix() != "":
				return cty.NilVal, &callError{dependent(a.Range().StringPrefix() + "…")}
			}
		}
		return f.Call(args)
	}
	return function.New(spec)
}

// dependent is the error of a user's file whose name is known for a molecule only.
func dependent(name string) error {
	return fmt.Errorf("%s: the name depends on the molecule, so that a change of the file would "+
		"go unseen; name the file itself, or have a stage copy it, file \"NAME\" { source = "+
		"... }, and read the output", name)
}

// perMolecule refuses the name of a file that is made of a molecule's cells or of each, unless a
// stage may have made the file. In try and can the name would never show as wrong.
func (p *Pipeline) perMolecule(e *expression, f *hclsyntax.FunctionCallExpr) {
	for _, arg := range f.Args[:min(p.fileParams[f.Name], len(f.Args))] {
		name := &expression{Expression: arg}
		p.gather(name)
		hint, made := "", len(name.stages) > 0
		for _, t := range arg.Variables() {
			switch root := rootNames[t.RootName()]; {
			case root == outputRoot:
				made = true
			case root == eachRoot && e.stage != nil && e.stage.each != nil:
				hint = `. Or the text is the element: for_each = [for f in ` +
					`["a.txt", "b.txt"] : file(f)]`
				made = made || len(e.stage.each.stages) > 0
			}
		}
		if !made && len(name.columns)+len(hint) > 0 {
			p.wrong(arg.Range(), "File that nobody watches", "%s: %v%s.", f.Name,
				dependent(string(arg.Range().SliceBytes(p.src))), hint)
		}
	}
}

// isOwn reports whether a text is the name of a user's file. Outputs have absolute names, which are
// not known while the pipeline is checked.
func (p *Pipeline) isOwn(text string) bool {
	if filepath.IsAbs(text) && p.watch == nil {
		return false
	}
	info, err := os.Stat(p.rooted(text))
	return err == nil && info.Mode().IsRegular()
}

// maxElements is how many elements a list may have, and the for expressions of one expression.
const maxElements = 1_000_000

var errElements = fmt.Errorf("there would be more than %d elements", maxElements)

// tooMany is errElements for a list that is too long, nil for every other value.
func tooMany(v cty.Value) error {
	if isList(v.Type()) && v.IsKnown() && !v.IsNull() && v.LengthInt() > maxElements {
		return errElements
	}
	return nil
}

// counting is a function that hands a list on to a for expression, and adds up the elements.
func (p *Pipeline) counting(elements *int) function.Function {
	return function.New(&function.Spec{Params: []function.Parameter{anyParam},
		Type: func(args []cty.Value) (cty.Type, error) { return args[0].Type(), nil },
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			p.watch.pass()
			v := args[0]
			if elements == nil || !v.IsKnown() || v.IsNull() || v.Type().IsPrimitiveType() {
				return v, nil
			}
			if *elements += v.LengthInt(); *elements > maxElements {
				return v, errElements
			}
			return v, nil
		}})
}

// partOfText is a number as its double is written, or a text that is not too long.
func partOfText(v cty.Value) (cty.Value, error) {
	if v.Type() == cty.String && v.IsKnown() && !v.IsNull() && len(v.AsString()) > maxFileSize {
		return v, errors.New("the text would be too long")
	}
	return asDouble(v)
}

// wideVerb is of a text for format that would make a very long one.
var wideVerb = regexp.MustCompile(`%[^%a-zA-Z]*[0-9]{4}`)

// multiplying are the functions whose result may be as long as the product of their arguments.
var multiplying = []string{"format", "formatlist", "indent", "join", "replace"}

// tooLong reports whether a multiplying function would make a text that fills the memory at once.
func tooLong(name string, args []cty.Value) bool {
	size := 1.0
	for i, a := range args {
		switch {
		case !a.IsKnown() || a.IsNull():
		case a.Type() == cty.Number && i == 0: // of indent
			size *= toFloat(a)
		case a.Type() == cty.String:
			size *= float64(max(1, len(a.AsString())))
			if i == 0 && strings.HasPrefix(name, "format") && wideVerb.MatchString(a.AsString()) {
				return true
			}
		}
	}
	return size > maxCheckBytes
}

// bounded is a function with limits. It takes numbers as doubles and gives finite ones. It ends
// with the check, and makes no text that would fill the memory at once.
func (p *Pipeline) bounded(name string, f function.Function) function.Function {
	if name == "try" || name == "can" {
		return f // their arguments are expressions
	}
	spec := &function.Spec{Params: f.Params(), VarParam: f.VarParam()}
	for i := range spec.Params {
		// nothing here marks values; cty would look for marks in each
		spec.Params[i].AllowMarked = true
	}
	prepare := func(args []cty.Value) (out []cty.Value, err error) {
		p.watch.pass()
		out = slices.Clone(args)
		for i := range out {
			if out[i], err = asDouble(out[i]); err != nil {
				return nil, function.NewArgError(i, err)
			}
		}
		switch {
		case slices.Contains(multiplying, name) && tooLong(name, out):
			err = errors.New("the text would be too long")
		case name == "contains":
			err = neverContains(out[0].Type(), out[1].Type())
		}
		return out, err
	}
	return prepared(f, spec, prepare)
}

// prepared is a function that calls another with arguments that prepare makes of its own.
func prepared(f function.Function, spec *function.Spec,
	prepare func([]cty.Value) ([]cty.Value, error)) function.Function {
	spec.Type = func(args []cty.Value) (cty.Type, error) { // some do their work to find the type
		args, err := prepare(args)
		if err != nil {
			return cty.NilType, err
		}
		t, err := f.ReturnTypeForValues(args)
		if err == nil && t.IsTupleType() && t.Length() > maxElements {
			err = errElements
		}
		return t, err
	}
	spec.Impl = func(args []cty.Value, _ cty.Type) (v cty.Value, err error) {
		if args, err = prepare(args); err != nil {
			return v, err
		}
		if v, err = f.Call(args); err == nil {
			err = cmp.Or(tooLarge(v), tooMany(v))
		}
		return v, err
	}
	return function.New(spec)
}

// neverContains is an error for a list none of whose elements can equal a value.
func neverContains(list, value cty.Type) (err error) {
	switch {
	case list.IsListType() || list.IsSetType():
		return neverEqual(list.ElementType(), value)
	case !list.IsTupleType():
		return nil
	}
	for _, t := range list.TupleElementTypes() {
		if err = neverEqual(t, value); err == nil {
			return nil
		}
	}
	return err
}

// adapt makes a Go function callable from expressions. It panics for a function of a type that
// expressions can't have, which the first test of such a function shows.
func adapt(fn any, params ...string) function.Function {
	v := reflect.ValueOf(fn)
	t := v.Type()
	spec, ret := &function.Spec{}, impliedType(reflect.New(t.Out(0)).Interface())
	for i := range t.NumIn() {
		param := function.Parameter{Type: impliedType(reflect.New(t.In(i)).Interface()),
			AllowMarked: true, AllowNull: t.In(i).Kind() == reflect.Pointer}
		if i < len(params) {
			param.Name = params[i]
		}
		spec.Params = append(spec.Params, param)
	}
	spec.Type = function.StaticReturnType(ret)
	spec.Impl = func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		if !each(cty.Value.IsWhollyKnown)(args) { // as things are while the file is checked
			return cty.UnknownVal(ret), nil
		}
		in := make([]reflect.Value, len(args))
		for i, a := range args {
			into := reflect.New(t.In(i))
			if err := gocty.FromCtyValue(a, into.Interface()); err != nil {
				text, _, _ := strings.Cut(err.Error(), ", between")
				return cty.NilVal, function.NewArgErrorf(i, "%s", text)
			}
			in[i] = into.Elem()
		}
		out := v.Call(in)
		if last := out[len(out)-1]; len(out) > 1 && !last.IsNil() {
			return cty.NilVal, &callError{last.Interface().(error)}
		}
		result, err := gocty.ToCtyValue(out[0].Interface(), ret)
		if err != nil {
			return cty.NilVal, &callError{err}
		}
		return result, nil
	}
	return function.New(spec)
}

// callError is an error of a function that was handed in, not a mistake of the expression.
type callError struct{ error }

func (e *callError) Unwrap() error { return e.error }

// call is a call of a function with texts alone. A text that names a file stands for the file as it
// is: a folder that is renamed keeps it.
type call struct {
	function string
	args     [2]string
}

// remember makes the molecule's expressions call each function that takes texts alone only once for
// each file, however often they name the file. Most of these functions read a file.
func (m *Molecule) remember() {
	m.answers, m.functions = map[call]cty.Value{}, maps.Clone(m.p.functions)
	m.functions[listName] = m.p.counting(&m.elements)
	reads := []string{fileName, jsonName, "jsondecode"}
	for name := range m.p.versions {
		reads = append(reads, name)
	}
	for _, name := range reads {
		f := m.p.functions[name]
		text := func(p function.Parameter) bool { return p.Type == cty.String }
		if n := len(f.Params()); n > len(call{}.args) || !each(text)(f.Params()) ||
			f.VarParam() != nil {
			continue
		}
		m.functions[name] = dynamic(f.Params(), func(args []cty.Value) (cty.Value, error) {
			return m.answer(name, f, args)
		})
	}
}

func (m *Molecule) answer(name string, f function.Function, args []cty.Value) (cty.Value, error) {
	c := call{function: name}
	for i, a := range args {
		if !a.IsKnown() || a.IsNull() {
			return f.Call(args)
		}
		c.args[i] = a.AsString()
		if info, err := os.Stat(c.args[i]); err == nil {
			if sys, ok := info.Sys().(*syscall.Stat_t); ok {
				c.args[i] = fmt.Sprint(sys.Dev, sys.Ino, info.Size(), info.ModTime())
			}
		}
	}
	if known, ok := m.answers[c]; ok {
		return known, nil
	}
	v, err := f.Call(args)
	if err == nil { // an error names its file
		m.answers[c] = v
	}
	return v, err
}
