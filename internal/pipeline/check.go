package pipeline

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// check finds every mistake that can be found without a molecule: unknown names first, then cycles, then the types, by evaluating
// everything once with the molecule's cells and all results unknown.
func (p *Pipeline) check() hcl.Diagnostics {
	diags := p.checkLocals()
	diags = append(diags, p.checkVariables()...)
	ctx := p.context(nil)
	for _, s := range p.Stages {
		diags = append(diags, p.decodeOutputs(s, ctx)...)
	}
	ordered, cycles := p.order()
	diags = append(diags, cycles...)
	p.Stages = ordered
	for _, s := range p.Stages {
		diags = append(diags, p.checkStage(s)...)
	}
	sc := scope{what: "the molecule block", vars: true, locals: true, mol: true}
	for _, c := range p.conds {
		diags = append(diags, p.checkCondition(c, sc, nil)...)
	}
	sc = scope{what: "the merge block", vars: true, locals: true, mol: true, stages: true}
	for _, a := range p.merge {
		diags = append(diags, p.checkMerge(a, sc)...)
	}
	p.Columns = p.usedColumns()
	return tidy(diags)
}

// tidy sorts by place and drops repetitions.
func tidy(diags hcl.Diagnostics) hcl.Diagnostics {
	at := func(d *hcl.Diagnostic) int {
		if d.Subject == nil {
			return -1
		}
		return d.Subject.Start.Byte
	}
	slices.SortStableFunc(diags, func(a, b *hcl.Diagnostic) int { return at(a) - at(b) })
	return slices.CompactFunc(diags, func(a, b *hcl.Diagnostic) bool {
		return at(a) == at(b) && a.Summary == b.Summary && a.Detail == b.Detail
	})
}

// checkLocals checks and classifies the local values, and evaluates those that need no molecule.
func (p *Pipeline) checkLocals() hcl.Diagnostics {
	var diags hcl.Diagnostics
	sc := scope{what: "a local value", vars: true, locals: true, mol: true}
	for _, l := range p.locals {
		diags = append(diags, p.references(l.attr.Expr, sc)...)
		for _, t := range l.attr.Expr.Variables() {
			switch name, ok := attrAt(t, 1); {
			case t.RootName() == "mol":
				l.perMol = true
			case ok && t.RootName() == "local" && p.locals[name] != nil:
				l.uses = append(l.uses, name)
			}
		}
	}
	order, cycle := sortGraph(names(p.locals), func(n string) []string { return p.locals[n].uses })
	if cycle != nil {
		diags = append(diags, p.cycle("local", cycle, func(n string) hcl.Range { return p.locals[n].attr.NameRange }))
		return diags
	}
	p.localOrder = order
	p.base = map[string]cty.Value{"var": p.variableObject()}
	static := map[string]cty.Value{}
	for _, name := range order {
		l := p.locals[name]
		for _, u := range l.uses {
			l.perMol = l.perMol || p.locals[u].perMol
		}
		if l.perMol || diags.HasErrors() {
			continue
		}
		p.base["local"] = cty.ObjectVal(static)
		v, d := l.attr.Expr.Value(&hcl.EvalContext{Variables: p.base, Functions: p.functions})
		diags = append(diags, d...)
		static[name] = v
	}
	p.base["local"] = cty.ObjectVal(static)
	if diags.HasErrors() {
		delete(p.base, "local")
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

func (p *Pipeline) decodeOutputs(s *Stage, ctx *hcl.EvalContext) hcl.Diagnostics {
	a := s.outputsAttr()
	if a == nil {
		return nil
	}
	diags := p.references(a.Expr, scope{what: "outputs", vars: true, locals: true})
	if diags.HasErrors() {
		return diags
	}
	v, diags := a.Expr.Value(ctx)
	if diags.HasErrors() {
		return diags
	}
	if t := v.Type(); !v.IsWhollyKnown() || v.IsNull() || !(t.IsObjectType() || t.IsMapType()) {
		return hcl.Diagnostics{wrong(a.Expr.Range(), "Unsuitable outputs", `outputs must be an object of names and files, like { geometry = "xtbopt.xyz" }, that doesn't depend on the molecule.`)}
	}
	for name, e := range v.AsValueMap() {
		text, err := convertTo(e, cty.String)
		switch {
		case err != nil || text.IsNull():
			diags = append(diags, wrong(a.Expr.Range(), "Unsuitable outputs", fmt.Sprintf("The output %q must be a file name.", name)))
		case name == "status" || name == "seconds":
			diags = append(diags, wrong(a.Expr.Range(), "Reserved name", fmt.Sprintf("Every stage has stage.NAME.%s already; call the output something else.", name)))
		case scratchName(text.AsString()) != "":
			diags = append(diags, wrong(a.Expr.Range(), "Path outside of the scratch folder", scratchName(text.AsString())))
		default:
			s.Outputs[name] = text.AsString()
		}
	}
	return diags
}

func (p *Pipeline) checkStage(s *Stage) hcl.Diagnostics {
	base := scope{what: "stage " + s.Name, vars: true, locals: true, mol: true, stages: true, attempt: true, stage: s, each: s.ForEach}
	outer := base
	outer.each = false
	outer.what = "for_each, enabled or programs"
	reading := base
	reading.output = true
	ctx := p.checkContext(s)

	var diags hcl.Diagnostics
	eval := func(e hcl.Expression, sc scope) cty.Value {
		if e == nil {
			return cty.DynamicVal
		}
		d := p.references(e, sc)
		v := cty.DynamicVal
		if !d.HasErrors() {
			v, d = e.Value(ctx)
			d = soften(d)
			if d.HasErrors() {
				v = cty.DynamicVal
			}
		}
		diags = append(diags, d...)
		return v
	}
	fail := func(e hcl.Expression, summary, detail string) {
		diags = append(diags, wrong(e.Range(), summary, detail))
	}
	if v := eval(s.enabled, outer); s.enabled != nil && v.Type() != cty.Bool && v.Type() != cty.DynamicPseudoType {
		fail(s.enabled, "Unsuitable enabled", "enabled must be true or false.")
	}
	if v := eval(s.each, outer); s.each != nil {
		if t := v.Type(); t != cty.DynamicPseudoType && !t.IsListType() && !t.IsTupleType() {
			fail(s.each, "Unsuitable for_each", fmt.Sprintf("for_each needs a list, not a %s: the stage runs once for each element.", t.FriendlyName()))
		}
	}
	if v := eval(s.timeout, base); s.timeout != nil && v.IsKnown() {
		if _, err := duration(v); err != nil {
			fail(s.timeout, "Invalid duration", err.Error())
		}
	}
	if v := eval(s.cores, outer); s.cores != nil && v.Type() != cty.DynamicPseudoType {
		if n, err := convertTo(v, cty.Number); err != nil || !n.IsKnown() || n.IsNull() || toFloat(n) < 1 || toFloat(n) != float64(int(toFloat(n))) {
			fail(s.cores, "Unsuitable cores", "cores is how many processor cores the program takes: a whole number that doesn't depend on the molecule.")
		} else {
			s.Cores = int(toFloat(n))
		}
	}
	if v := eval(s.env, base); s.env != nil && v.IsKnown() {
		if _, err := environment(v); err != nil {
			fail(s.env, "Unsuitable env", err.Error())
		}
	}
	for _, f := range s.files {
		if v := eval(f.content, base); f.content != nil && v.Type() != cty.DynamicPseudoType {
			if _, err := convertTo(v, cty.String); err != nil {
				fail(f.content, "Unsuitable content", "A file's content must be a text.")
			}
		}
		if v := eval(f.source, outer); f.source != nil && v.Type() != cty.DynamicPseudoType {
			if err := p.checkSource(v); err != nil {
				fail(f.source, "Unsuitable source", err.Error())
			}
		}
	}
	for _, c := range s.pre {
		diags = append(diags, p.checkCondition(c, base, ctx)...)
	}
	diags = append(diags, p.checkCommand(s, eval(s.command, base), eval(s.programs, outer))...)
	if v := eval(s.worker, outer); s.worker != nil {
		diags = append(diags, checkWorker(s, v)...)
	}
	if v := eval(s.values, reading); s.values != nil {
		s.valueType = v.Type()
		diags = append(diags, checkValues(s, v.Type())...)
	}
	for _, c := range s.post {
		diags = append(diags, p.checkCondition(c, reading, ctx)...)
	}
	return diags
}

// soften says a function's error in the function's own words.
func soften(diags hcl.Diagnostics) hcl.Diagnostics {
	for _, d := range diags {
		call, ok := d.Extra.(hclsyntax.FunctionCallDiagExtra)
		if !ok || call.FunctionCallError() == nil {
			continue
		}
		err := call.FunctionCallError()
		if panicked := (function.PanicError{}); errors.As(err, &panicked) {
			err = fmt.Errorf("it can't handle these arguments (%v)", panicked.Value)
		}
		d.Detail = fmt.Sprintf("%s: %s.", call.CalledFunctionName(), strings.TrimSuffix(err.Error(), "."))
	}
	return diags
}

func checkValues(s *Stage, t cty.Type) hcl.Diagnostics {
	if t == cty.DynamicPseudoType {
		return nil
	}
	if !t.IsObjectType() {
		return hcl.Diagnostics{wrong(s.values.Range(), "Unsuitable values", "values must be an object of names and values, like { energy = xyz(output.geometry).energy }.")}
	}
	for name := range t.AttributeTypes() {
		_, isOutput := s.Outputs[name]
		switch {
		case isOutput:
			return hcl.Diagnostics{wrong(s.values.Range(), "Duplicate name", fmt.Sprintf("Stage %q has an output and a value called %q; stage.%s.%s would mean both.", s.Name, name, s.Name, name))}
		case name == "status" || name == "seconds":
			return hcl.Diagnostics{wrong(s.values.Range(), "Reserved name", fmt.Sprintf("Every stage has stage.NAME.%s already; call the value something else.", name))}
		}
	}
	return nil
}

func (p *Pipeline) checkSource(v cty.Value) error {
	if !v.IsKnown() || v.IsNull() || v.Type() != cty.String {
		return fmt.Errorf("source must be the name of a file beside pipeline.hcl and must not depend on the molecule")
	}
	_, err := p.read(v.AsString())
	return err
}

func (p *Pipeline) checkCondition(c *condition, sc scope, ctx *hcl.EvalContext) hcl.Diagnostics {
	if ctx == nil {
		ctx = p.checkContext(nil)
	}
	d := append(p.references(c.condition, sc), p.references(c.message, sc)...)
	if !d.HasErrors() {
		_, d = evalCondition(c, ctx)
	}
	return soften(d)
}

func (p *Pipeline) checkMerge(a *hclsyntax.Attribute, sc scope) hcl.Diagnostics {
	d := p.references(a.Expr, sc)
	if d.HasErrors() {
		return d
	}
	v, d := a.Expr.Value(p.checkContext(nil))
	d = soften(d)
	if !d.HasErrors() && v.Type() != cty.DynamicPseudoType && !v.Type().IsPrimitiveType() {
		d = append(d, wrong(a.Expr.Range(), "Unsuitable cell", fmt.Sprintf("A cell of the table holds a text or a number, not a %s.", v.Type().FriendlyName())))
	}
	return d
}

// checkCommand finds the program, which must be known before any molecule is, and what else the stage runs.
func (p *Pipeline) checkCommand(s *Stage, command, more cty.Value) hcl.Diagnostics {
	if s.command == nil {
		return nil
	}
	t := command.Type()
	if t == cty.DynamicPseudoType {
		if !command.IsKnown() && len(s.command.Variables()) == 0 {
			return nil // its own mistake was said
		}
		return nil
	}
	bad := func(detail string) hcl.Diagnostics {
		return hcl.Diagnostics{wrong(s.command.Range(), "Unsuitable command", detail)}
	}
	if !t.IsListType() && !t.IsTupleType() {
		return bad(`A command is a list of words, like ["xtb", stage.rdkit.geometry, "--opt"]: no shell stands in between.`)
	}
	if !command.IsKnown() || command.LengthInt() == 0 {
		return bad("The command has no first word that is known before a molecule is: the program.")
	}
	words := command.AsValueSlice()
	for i, w := range words {
		if w.Type() != cty.DynamicPseudoType && !w.Type().IsPrimitiveType() {
			return bad(fmt.Sprintf("Word %d of the command is a %s; only texts and numbers can be words.", i+1, w.Type().FriendlyName()))
		}
		if w.IsKnown() && w.IsNull() {
			return bad(fmt.Sprintf("Word %d of the command has no value: it names a stage that is turned off, or an empty variable.", i+1))
		}
	}
	if !words[0].IsKnown() || words[0].Type() != cty.String || words[0].AsString() == "" {
		return bad("The first word of the command, the program, must be a text that doesn't depend on the molecule.")
	}
	s.Program = words[0].AsString()
	s.Builtin = slices.Contains(p.builtins, s.Program)
	if !s.Builtin {
		s.Programs = append(s.Programs, s.Program)
	}
	if s.programs != nil && more.Type() != cty.DynamicPseudoType {
		list, err := convertTo(more, cty.List(cty.String))
		if err != nil || !list.IsWhollyKnown() || list.IsNull() {
			return bad("programs must be a list of texts that doesn't depend on the molecule.")
		}
		for _, e := range list.AsValueSlice() {
			if !e.IsNull() && !slices.Contains(s.Programs, e.AsString()) {
				s.Programs = append(s.Programs, e.AsString())
			}
		}
	}
	for _, name := range s.Programs {
		if p.Programs[name] == nil {
			p.Programs[name] = &Program{Name: name, Candidates: []string{name}, Line: s.Line}
		}
	}
	return nil
}

// checkWorker takes the words that start the stage's program as a worker.
func checkWorker(s *Stage, v cty.Value) hcl.Diagnostics {
	if v.Type() == cty.DynamicPseudoType {
		return nil
	}
	list, err := convertTo(v, cty.List(cty.String))
	if err == nil && list.IsWhollyKnown() && !list.IsNull() {
		for _, w := range list.AsValueSlice() {
			if !w.IsNull() {
				s.Worker = append(s.Worker, w.AsString())
			}
		}
	}
	if len(s.Worker) == 0 || s.Worker[0] != s.Program || s.Builtin {
		return hcl.Diagnostics{wrong(s.worker.Range(), "Unsuitable worker", fmt.Sprintf("worker is how the command's program is started to stay: a list like [%q, \"script\", \"--serve\"] that doesn't depend on the molecule.", s.Program))}
	}
	return nil
}

// usedColumns are the columns that any expression names.
func (p *Pipeline) usedColumns() []string {
	set := map[string]bool{}
	add := func(e hcl.Expression) {
		if e == nil {
			return
		}
		for _, t := range e.Variables() {
			if name, ok := attrAt(t, 1); ok && t.RootName() == "mol" {
				set[name] = true
			}
		}
	}
	for _, s := range p.Stages {
		run, read := s.expressions()
		for _, e := range append(run, read...) {
			add(e)
		}
	}
	for _, l := range p.locals {
		add(l.attr.Expr)
	}
	for _, c := range p.conds {
		add(c.condition)
		add(c.message)
	}
	for _, a := range p.merge {
		add(a.Expr)
	}
	return names(set)
}
