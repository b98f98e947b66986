package pipeline

import (
	"maps"
	"slices"
	"strings"

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
// most lines of a stage, and the next stage's read it again. A finished target's files don't change while the molecule is under way.
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

// forget drops what was read from these files: they are to be read anew.
func (m *Molecule) forget(files map[string]string) {
	read := slices.Collect(maps.Values(files))
	maps.DeleteFunc(m.answers, func(c call, _ answer) bool {
		return slices.ContainsFunc(c.args[:], func(arg string) bool { return slices.Contains(read, arg) })
	})
}

// Moved says that a target's folder has become another's successor: what was read from its files holds for them where they are now, and what was
// read there before no more. Errors name files, and are not taken along.
func (m *Molecule) Moved(from, to string) {
	taken := map[call]answer{}
	maps.DeleteFunc(m.answers, func(c call, a answer) bool {
		now, before := c, false
		for i, arg := range c.args {
			if rest, ok := strings.CutPrefix(arg, from+"/"); ok {
				now.args[i] = to + "/" + rest
			}
			before = before || strings.HasPrefix(arg, to+"/")
		}
		if now != c && a.err == nil {
			taken[now] = a
		}
		return before || now != c
	})
	maps.Copy(m.answers, taken)
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
