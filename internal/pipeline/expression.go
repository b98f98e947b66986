package pipeline

import (
	"errors"
	"fmt"
	"slices"

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
	locals          []string // local values that it names
	stages, columns []string // that it names itself or by its local values
}

func newExpression(a *hcl.Attribute, what string, r roots) *expression {
	return &expression{Expression: a.Expr, name: a.Name, what: what, at: a.NameRange, roots: r,
		want: cty.DynamicPseudoType}
}

// declare makes the stage's expressions of its attributes: the one table of their names, types and
// scopes, for check and evaluation.
func (s *Stage) declare(content *hcl.BodyContent) (diags hcl.Diagnostics) {
	const late = "values and postconditions, which are read again long after the attempt"
	add := func(name, what string, r roots, want cty.Type,
		accept func(cty.Value) error) *expression {
		a := content.Attributes[name]
		if a == nil {
			return nil
		}
		e := newExpression(a, what, r)
		e.want, e.accept = want, accept
		return s.add(e)
	}
	conditionsOf := func(kind, what string, r roots) []*condition {
		all, d := conditions(content, kind, what, r)
		diags = append(diags, d...)
		for _, e := range expressionsOf(all) {
			s.add(e)
		}
		return all
	}
	words, dynamic := cty.List(cty.String), cty.DynamicPseudoType
	s.outputs = add("outputs", "outputs", varRoot|localRoot, dynamic, s.setOutputs)
	s.enabled = add("enabled", "enabled", ofStage, cty.Bool, nil)
	s.each = add("for_each", "for_each", ofStage, dynamic, acceptList)
	s.timeout = add("timeout", "timeout", ofTarget, dynamic, acceptTimeout)
	s.cores = add("cores", "cores", ofStage, dynamic, s.setCores)
	s.env = add("env", "env", ofTask, dynamic, func(v cty.Value) error {
		_, err := environment(v)
		return err
	})
	for _, f := range s.files {
		if f.content != nil {
			f.content.want = cty.String
			s.add(f.content)
		} else {
			f.source.want = cty.String
			s.add(f.source)
		}
	}
	s.pre = conditionsOf("precondition", "stage "+s.Name, ofTarget)
	s.command = add("command", "command", ofTask, words, nil)
	s.programs = add("programs", "programs", ofStage, words, s.addPrograms)
	s.worker = add("worker", "worker", ofStage, words, s.setWorker)
	s.validate = add("validate", "validate, which is asked before anything runs", ofMolecule, words,
		s.acceptValidate)
	s.values = add("values", late, ofReading, dynamic, s.setValueType)
	s.warnings = add("warnings", late, ofReading, dynamic, acceptWarnings)
	s.post = conditionsOf("postcondition", late, ofReading)
	if s.values != nil {
		s.valueType = cty.DynamicPseudoType // until it is checked
	}
	return diags
}

func (s *Stage) add(e *expression) *expression {
	e.stage = s
	s.expressions = append(s.expressions, e)
	return e
}

// expressionsOf are those of conditions.
func expressionsOf(conditions []*condition) (all []*expression) {
	for _, c := range conditions {
		if all = append(all, c.condition); c.message != nil {
			all = append(all, c.message)
		}
	}
	return all
}

// conditions are blocks of a condition and its message, and the require attribute of what is
// checked in the end.
func conditions(content *hcl.BodyContent, kind, what string, r roots) (out []*condition,
	diags hcl.Diagnostics) {
	add := func(a, message *hcl.Attribute) {
		c := &condition{condition: newExpression(a, what, r)}
		if c.condition.want = cty.Bool; message != nil {
			c.message = newExpression(message, what, r)
			c.message.want = cty.String
		}
		out = append(out, c)
	}
	for _, b := range content.Blocks.OfType(kind) {
		of, d := b.Body.Content(conditionSchema)
		if diags = append(diags, d...); !d.HasErrors() {
			of.Attributes["condition"].NameRange = b.DefRange
			add(of.Attributes["condition"], of.Attributes["error_message"])
		}
	}
	if a := content.Attributes["require"]; a != nil && (kind != "precondition" || r == ofMolecule) {
		add(a, nil)
	}
	return out, diags
}

// link notes what every expression names, itself or by local values.
func (p *Pipeline) link() hcl.Diagnostics {
	uses := func(e *expression) {
		for _, t := range e.Variables() {
			if name, ok := attrAt(t, 1); ok && t.RootName() == "local" && p.locals[name] != nil {
				e.locals = append(e.locals, name)
			}
		}
		slices.Sort(e.locals)
		e.locals = slices.Compact(e.locals)
	}
	for _, name := range names(p.locals) {
		uses(p.locals[name])
	}
	order, cycle := sortGraph(names(p.locals),
		func(name string) []string { return p.locals[name].locals })
	for _, name := range order {
		p.gather(p.locals[name])
	}
	for _, e := range p.expressions() {
		uses(e)
		p.gather(e)
	}
	if cycle == nil {
		return nil
	}
	p.cyclic = true
	at := func(name string) hcl.Range { return p.locals[name].at }
	return hcl.Diagnostics{describeCycle("local", cycle, at)}
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

// gather fills in what an expression names, after its local values.
func (p *Pipeline) gather(e *expression) {
	for _, name := range e.locals {
		l := p.locals[name]
		e.stages, e.columns = append(e.stages, l.stages...), append(e.columns, l.columns...)
	}
	for _, t := range e.Variables() {
		name, ok := attrAt(t, 1)
		switch {
		case ok && t.RootName() == "stage":
			e.stages = append(e.stages, name)
		case ok && t.RootName() == "mol":
			e.columns = append(e.columns, name)
		}
	}
	for _, list := range []*[]string{&e.stages, &e.columns} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
}

// expressions are all of the file's but local values.
func (p *Pipeline) expressions() []*expression {
	all := slices.Concat(p.moleculeExpressions(), p.merge, p.export, p.display)
	for _, v := range p.Variables {
		all = append(all, expressionsOf(v.checks)...)
	}
	for _, s := range p.Stages {
		all = append(all, s.expressions...)
	}
	return all
}

func (p *Pipeline) moleculeExpressions() (all []*expression) {
	all = expressionsOf(p.molecule)
	if p.size != nil {
		all = append(all, p.size)
	}
	return all
}

// hold evaluates conditions, and returns what the first that does not hold says. What is not known
// yet holds.
func (m *Molecule) hold(all []*condition, extra map[string]cty.Value) error {
	for _, c := range all {
		if err := m.holds(c, extra); err != nil {
			return err
		}
	}
	return nil
}

func (m *Molecule) holds(c *condition, extra map[string]cty.Value) error {
	v, err := m.value(c.condition, extra)
	if err != nil || v.True() {
		return err
	}
	if c.message == nil {
		return m.p.at(c.condition, fmt.Errorf("%s is not true", c.condition.name))
	}
	text, err := m.value(c.message, extra)
	if err == nil && text.AsString() == "" {
		err = m.p.at(c.condition, errors.New("the condition does not hold"))
	}
	if err != nil {
		return err
	}
	return errors.New(text.AsString())
}

// sortGraph orders names so that each stands after those that it needs, otherwise in the given
// order; or returns a cycle as a path whose last element is its first.
func sortGraph(all []string, needs func(string) []string) (order, cycle []string) {
	const underway, done = 1, 2
	state := map[string]int{}
	var path []string
	var visit func(string) bool
	visit = func(n string) bool {
		switch state[n] {
		case done:
			return true
		case underway:
			cycle = append(slices.Clone(path[slices.Index(path, n):]), n)
			return false
		}
		state[n] = underway
		path = append(path, n)
		for _, m := range needs(n) {
			if !visit(m) {
				return false
			}
		}
		path = path[:len(path)-1]
		state[n] = done
		order = append(order, n)
		return true
	}
	for _, n := range all {
		if !visit(n) {
			return nil, cycle
		}
	}
	return order, nil
}

// visit calls do for every part of an expression.
func visit(e hcl.Expression, do func(hclsyntax.Node)) {
	if node, ok := e.(hclsyntax.Node); ok {
		_ = hclsyntax.VisitAll(node, func(n hclsyntax.Node) hcl.Diagnostics {
			do(n)
			return nil
		})
	}
}
