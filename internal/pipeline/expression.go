package pipeline

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// roots are the names that an expression may begin with, and what else it may do.
type roots uint

const (
	varRoot     roots = 1 << iota
	localRoot         // local values, as far as their own roots are allowed
	molRoot           // the cells of the molecule's row
	stageRoot         // results of other stages
	eachRoot          // the element of for_each
	attemptRoot       // attempt and salvaged
	outputRoot        // the stage's own files
	mayIgnore         // ignore_changes may stand in it

	ofMolecule = varRoot | localRoot | molRoot
	ofMerge    = ofMolecule | stageRoot
	ofStage    = ofMerge
	ofTarget   = ofStage | eachRoot | attemptRoot
	ofTask     = ofTarget | mayIgnore
	ofReading  = ofStage | eachRoot | outputRoot
)

// expression is an expression of the file that is evaluated for each molecule.
type expression struct {
	hcl.Expression
	name            string // of the attribute
	what            string // what it is in, for messages
	at              hcl.Range
	roots           roots
	stage           *Stage   // that it is of, nil for none
	want            cty.Type // that its value is converted to; dynamic: to none
	accept          func(cty.Value) error
	message         *expression // of a condition block: the error if it does not hold
	locals          []string    // local values that it names
	stages, columns []string    // that it names itself or by its local values
	results         []string    // those of the stages of which it uses more than status and seconds
	gathered        bool        // these four
	reads           []string    // user's files that it reads, without those of its local values
}

// link notes what every expression names, itself or by local values.
func (p *Pipeline) link() {
	locals := names(p.locals)
	for _, name := range locals {
		p.gather(p.locals[name])
	}
	for _, e := range p.expressions() {
		p.gather(e)
	}
	p.cyclic = p.sortGraph("local", locals, func(name string) ([]string, hcl.Range) {
		return p.locals[name].locals, p.locals[name].at
	}) == nil
}

// gather notes what an expression names, after its local values.
func (p *Pipeline) gather(e *expression) {
	if e.gathered {
		return
	}
	e.gathered = true
	reports := reports(e)
	for _, t := range e.Variables() {
		name, _ := attrAt(t, 1)
		switch l := p.locals[name]; {
		case name == "":
		case t.RootName() == "stage":
			e.stages = append(e.stages, name)
			if of, ok := attrAt(t, 2); ok && p.stages[name] != nil {
				p.stages[name].asked = append(p.stages[name].asked, of)
			}
			if !reports[t.SourceRange()] {
				e.results = append(e.results, name)
			}
		case t.RootName() == "mol":
			e.columns = append(e.columns, name)
		case t.RootName() == "local" && l != nil:
			p.gather(l)
			e.locals = append(e.locals, name)
			e.stages, e.columns = append(e.stages, l.stages...), append(e.columns, l.columns...)
			if !reports[t.SourceRange()] {
				e.results = append(e.results, l.results...)
			}
		}
	}
	e.locals, e.stages, e.columns = sorted(e.locals), sorted(e.stages), sorted(e.columns)
}

// reports are the places where an expression names something for its status or its seconds alone.
func reports(e *expression) map[hcl.Range]bool {
	out := map[hcl.Range]bool{}
	add := func(of hcl.Expression) {
		for _, t := range of.Variables() {
			out[t.SourceRange()] = true
		}
	}
	visit(e.Expression, func(n hclsyntax.Node) {
		switch x := n.(type) {
		case *hclsyntax.FunctionCallExpr:
			for _, arg := range x.Args {
				if reserved(x.Name) {
					add(arg)
				}
			}
		case *hclsyntax.ScopeTraversalExpr:
			if last, _ := attrAt(x.Traversal, len(x.Traversal)-1); reserved(last) {
				add(x)
			}
		case *hclsyntax.SplatExpr:
			if each, ok := x.Each.(*hclsyntax.RelativeTraversalExpr); ok {
				if name, _ := attrAt(each.Traversal, 0); reserved(name) {
					add(x.Source)
				}
			}
		}
	})
	return out
}

// sorted has every name once.
func sorted(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}

// withLocals are expressions and the local values that they name, each once.
func (p *Pipeline) withLocals(all ...*expression) []*expression {
	seen := map[string]bool{}
	for i := 0; i < len(all); i++ {
		for _, name := range all[i].locals {
			if !seen[name] {
				seen[name] = true
				all = append(all, p.locals[name])
			}
		}
	}
	return all
}

// expressions are all of the file's but local values.
func (p *Pipeline) expressions() []*expression {
	all := slices.Concat(p.ofMolecule, p.ofVariables, p.merge, p.export, p.display)
	for _, s := range p.Stages {
		all = append(all, s.expressions...)
	}
	return all
}

// hold evaluates conditions, and returns what the first that does not hold says.
func (ev *evaluation) hold(all ...*expression) error {
	said := func(v cty.Value) (string, error) {
		if v.AsString() == "" {
			return "", errors.New("the condition does not hold")
		}
		return v.AsString(), nil
	}
	for _, c := range all {
		holds := take(ev, c, truth)
		switch {
		case ev.err != nil || holds:
		case c.message == nil:
			text := strings.Join(strings.Fields(string(c.Range().SliceBytes(ev.p.src))), " ")
			ev.err = ev.p.at(c, fmt.Errorf("%s is not true: %s", c.name, text))
		default:
			text := take(ev, c.message, said)
			ev.err = cmp.Or(ev.err, errors.New(text))
		}
	}
	return ev.err
}

// sortGraph orders names so that each stands after those that it needs, otherwise in the given
// order. If names need each other, it returns nil and notes which. of gives what a name needs, and
// its place.
func (p *Pipeline) sortGraph(kind string, all []string,
	of func(string) ([]string, hcl.Range)) []string {
	const underway, done = 1, 2
	state, order := map[string]int{}, []string{}
	var path []string
	var visit func(string) bool
	visit = func(n string) bool {
		switch state[n] {
		case done:
			return true
		case underway:
			path = append(path[slices.Index(path, n):], n)
			return false
		}
		state[n], path = underway, append(path, n)
		if needs, _ := of(n); !each(visit)(needs) {
			return false
		}
		state[n], path = done, path[:len(path)-1]
		order = append(order, n)
		return true
	}
	if each(visit)(all) {
		return order
	}
	var steps []string
	for _, n := range path {
		_, at := of(n)
		steps = append(steps, fmt.Sprintf("%s.%s (line %d)", kind, n, at.Start.Line))
	}
	text := "These need each other, so that none can be first: " + strings.Join(steps, " needs ")
	if len(path) == 2 {
		text = steps[0] + " needs its own value"
	}
	_, at := of(path[0])
	p.wrong(at, "Cycle", "%s.", text)
	return nil
}

// visit calls do for every part of an expression or a body.
func visit(of any, do func(hclsyntax.Node)) {
	if node, ok := of.(hclsyntax.Node); ok {
		_ = hclsyntax.VisitAll(node, func(n hclsyntax.Node) hcl.Diagnostics {
			do(n)
			return nil
		})
	}
}
