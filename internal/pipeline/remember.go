package pipeline

import (
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// call is a call of a function with texts alone, names of files among them.
type call struct {
	function string
	args     [2]string
}

// answer is what a call gave.
type answer struct {
	value cty.Value
	err   error
}

// readers returns the functions whose answers are kept: those handed in that take texts alone, most of which read a file, and file and jsondecode, which parses its text four times.
func readers(table map[string]function.Function, more []Function) map[string]function.Function {
	out := map[string]function.Function{}
	add := func(name string) {
		f := table[name]
		if f.VarParam() != nil || len(f.Params()) > len(call{}.args) {
			return
		}
		for _, param := range f.Params() {
			if param.Type != cty.String {
				return
			}
		}
		out[name] = f
	}
	add(fileName)
	add("jsondecode")
	for _, f := range more {
		add(f.Name)
	}
	return out
}

// remember makes the molecule's expressions call each reader once for each file, however often they name it: ensemble(output.ensemble) stands in
// most lines of a stage. The answers are forgotten when a target's files are read or it is set, because files may have changed only then.
func (m *Molecule) remember() {
	m.answers = map[call]answer{}
	own := m.root.NewChild()
	own.Variables = m.root.Variables
	own.Functions = make(map[string]function.Function, len(m.p.readers))
	for name, f := range m.p.readers {
		own.Functions[name] = function.New(&function.Spec{
			Params: f.Params(),
			Type: func(args []cty.Value) (cty.Type, error) {
				v, err := m.answer(name, f, args)
				return v.Type(), err
			},
			Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) { return m.answer(name, f, args) },
		})
	}
	m.root = own
}

func (m *Molecule) answer(name string, f function.Function, args []cty.Value) (cty.Value, error) {
	c := call{function: name}
	for i, a := range args {
		if !a.IsKnown() || a.IsNull() {
			return f.Call(args)
		}
		c.args[i] = a.AsString()
	}
	known, ok := m.answers[c]
	if !ok {
		known.value, known.err = f.Call(args)
		m.answers[c] = known
	}
	return known.value, known.err
}
