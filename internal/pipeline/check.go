package pipeline

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// check finds every mistake that can be found without a molecule: unknown names first, then cycles, then the types, by evaluating
// everything once with the molecule's cells and all results unknown.
func (p *Pipeline) check() hcl.Diagnostics {
	p.vars, p.static, p.mol = p.variableObject(), cty.EmptyObjectVal, p.unknownMol()
	diags := p.checkLocals()
	diags = append(diags, p.checkVariables()...)
	for _, s := range p.Stages {
		diags = append(diags, p.decodeOutputs(s)...)
		s.off = p.turnedOff(s)
	}
	ordered, cycles := p.order()
	diags = append(diags, cycles...)
	p.Stages = ordered
	for _, s := range p.Stages {
		p.unknown[s.Name] = p.unknownResult(s)
	}
	for _, s := range p.Stages {
		diags = append(diags, p.checkStage(s)...)
		p.unknown[s.Name] = p.unknownResult(s)
	}
	sc := scope{what: "the molecule block", vars: true, locals: true, mol: true}
	ctx := p.mergeContext()
	for _, c := range p.conds {
		diags = append(diags, p.checkCondition(c, sc, ctx)...)
	}
	diags = append(diags, p.checkSize(sc, ctx)...)
	sc = scope{what: "the merge block", vars: true, locals: true, mol: true, stages: true}
	for _, a := range p.merge {
		diags = append(diags, p.checkMerge(a, sc, ctx)...)
	}
	p.Checked = p.usedColumns(false)
	p.Columns = p.usedColumns(true)
	return diags
}

// checkLocals checks and classifies the local values, and evaluates them as far as that needs no molecule.
func (p *Pipeline) checkLocals() hcl.Diagnostics {
	var diags hcl.Diagnostics
	p.local = cty.DynamicVal // until all of them are known to be good
	sc := scope{what: "a local value", vars: true, locals: true, mol: true}
	for _, name := range names(p.locals) {
		l := p.locals[name]
		diags = append(diags, p.references(l.attr.Expr, sc)...)
		for _, t := range l.attr.Expr.Variables() {
			switch name, ok := attrAt(t, 1); {
			case t.RootName() == "mol":
				l.perMol = true
			case ok && t.RootName() == "local" && p.locals[name] != nil && !slices.Contains(l.uses, name):
				l.uses = append(l.uses, name)
			}
		}
	}
	order, cycle := sortGraph(names(p.locals), func(n string) []string { return p.locals[n].uses })
	if cycle != nil {
		diags = append(diags, p.cycle("local", cycle, func(n string) hcl.Range { return p.locals[n].attr.NameRange }))
	}
	if diags.HasErrors() {
		return diags
	}
	p.localOrder = order
	known, static := map[string]cty.Value{}, map[string]cty.Value{}
	for _, name := range order {
		l := p.locals[name]
		for _, u := range l.uses {
			l.perMol = l.perMol || p.locals[u].perMol
		}
		v, d := p.value(l.attr.Expr, p.context(map[string]cty.Value{"local": l.scope(known), "mol": p.mol}))
		diags = append(diags, d...)
		known[name], l.weight = v, weight(v, maxValue)
		if !l.perMol {
			static[name], l.value = v, v
		}
	}
	if !diags.HasErrors() {
		p.static, p.local = cty.ObjectVal(static), cty.ObjectVal(known)
	}
	return diags
}

func (p *Pipeline) variableObject() cty.Value {
	attrs := map[string]cty.Value{}
	for _, v := range p.Variables {
		attrs[v.Name] = v.value
	}
	return cty.ObjectVal(attrs)
}

// sortGraph orders names so that each stands after those that it needs, otherwise in the given order; or returns a cycle as a path whose last element is its first.
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

func (p *Pipeline) cycle(kind string, path []string, at func(string) hcl.Range) *hcl.Diagnostic {
	var steps []string
	for _, n := range path {
		steps = append(steps, fmt.Sprintf("%s.%s (line %d)", kind, n, at(n).Start.Line))
	}
	if len(path) == 2 {
		return wrong(at(path[0]), "Cycle", fmt.Sprintf("%s needs its own value.", steps[0]))
	}
	return wrong(at(path[0]), "Cycle", "These need each other, so that none can be first: "+strings.Join(steps, " needs ")+".")
}

// order sorts the stages by their references; stages that don't depend on each other stay in the file's order.
func (p *Pipeline) order() ([]*Stage, hcl.Diagnostics) {
	var all []string
	for _, s := range p.Stages {
		run, read := s.expressions()
		s.DependsOn = slices.DeleteFunc(stagesIn(append(run, read...)), func(n string) bool { return p.stages[n] == nil || n == s.Name })
		all = append(all, s.Name)
	}
	sorted, cycle := sortGraph(all, func(n string) []string { return p.stages[n].DependsOn })
	if cycle != nil {
		return p.Stages, hcl.Diagnostics{p.cycle("stage", cycle, func(n string) hcl.Range { return p.stages[n].rng })}
	}
	var out []*Stage
	for _, n := range sorted {
		out = append(out, p.stages[n])
	}
	return out, nil
}

// usedColumns are the columns that the expressions name: of the molecule block and local values, and of the stages and the merge too.
func (p *Pipeline) usedColumns(all bool) []string {
	set := map[string]bool{}
	add := func(e hcl.Expression) {
		for _, t := range e.Variables() {
			if name, ok := attrAt(t, 1); ok && t.RootName() == "mol" {
				set[name] = true
			}
		}
	}
	for _, l := range p.locals {
		add(l.attr.Expr)
	}
	for _, c := range p.conds {
		add(c.condition)
		add(c.message)
	}
	if p.size != nil {
		add(p.size)
	}
	if !all {
		return names(set)
	}
	for _, s := range p.Stages {
		run, read := s.expressions()
		for _, e := range append(run, read...) {
			add(e)
		}
		if s.validate != nil {
			add(s.validate)
		}
	}
	for _, a := range p.merge {
		add(a.Expr)
	}
	return names(set)
}

func (p *Pipeline) checkCondition(c *condition, sc scope, ctx *hcl.EvalContext) hcl.Diagnostics {
	d := append(p.references(c.condition, sc), p.references(c.message, sc)...)
	if !d.HasErrors() {
		_, d = evalCondition(c, func(e hcl.Expression) (cty.Value, hcl.Diagnostics) { return p.value(e, ctx) })
	}
	return d
}

func (p *Pipeline) checkMerge(a *hclsyntax.Attribute, sc scope, ctx *hcl.EvalContext) hcl.Diagnostics {
	d := p.references(a.Expr, sc)
	if d.HasErrors() {
		return d
	}
	v, d := p.value(a.Expr, ctx)
	if !d.HasErrors() && v.Type() != cty.DynamicPseudoType && !v.Type().IsPrimitiveType() {
		d = append(d, wrong(a.Expr.Range(), "Unsuitable cell", fmt.Sprintf("A cell of the table holds a text or a number, not %s.", aType(v.Type()))))
	}
	return d
}

// ready prepares, once the file is known to be good, what every molecule needs of it.
func (p *Pipeline) ready() {
	stages := map[string]cty.Value{}
	for _, s := range p.Stages {
		s.none, s.noneOne = s.absent(), s.absentOne()
		s.reading = p.newReading(s, s.reads)
		stages[s.Name] = s.none
	}
	p.noStages = cty.ObjectVal(stages)
	p.Key = p.key()
}
