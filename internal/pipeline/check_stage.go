package pipeline

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"grimperium/internal/packed"
)

func (p *Pipeline) decodeOutputs(s *Stage) hcl.Diagnostics {
	a := s.outputsAttr()
	if a == nil {
		return nil
	}
	diags := p.references(a.Expr, scope{what: "outputs", vars: true, locals: true})
	if diags.HasErrors() {
		s.vague = true
		return diags
	}
	v, diags := p.value(a.Expr, p.context(map[string]cty.Value{"local": p.local}))
	if diags.HasErrors() || (!v.IsWhollyKnown() && !p.local.IsKnown()) {
		s.vague = true
		return diags
	}
	if t := v.Type(); !v.IsWhollyKnown() || v.IsNull() || !(t.IsObjectType() || t.IsMapType()) {
		s.vague = true
		return hcl.Diagnostics{wrong(a.Expr.Range(), "Unsuitable outputs", `outputs must be an object of names and files, like { geometry = "xtbopt.xyz" }, that doesn't depend on the molecule.`)}
	}
	values := v.AsValueMap()
	for _, name := range names(values) {
		rng := itemRange(a.Expr, name)
		text, err := convertTo(values[name], cty.String)
		switch {
		case err != nil || text.IsNull():
			diags = append(diags, wrong(rng, "Unsuitable outputs", fmt.Sprintf("The output %q must be a file name.", name)))
		case name == "status" || name == "seconds":
			diags = append(diags, wrong(rng, "Reserved name", fmt.Sprintf("Every stage has stage.NAME.%s already; call the output something else.", name)))
		case scratchName(text.AsString()) != "":
			diags = append(diags, wrong(rng, "Path outside of the scratch folder", scratchName(text.AsString())))
		default:
			s.Outputs[name] = text.AsString()
		}
	}
	s.vague = diags.HasErrors()
	return diags
}

// itemRange is the place of one name of an object that is written out, else of the whole expression.
func itemRange(e hcl.Expression, name string) hcl.Range {
	if obj, ok := e.(*hclsyntax.ObjectConsExpr); ok {
		for _, item := range obj.Items {
			if key, diags := item.KeyExpr.Value(nil); !diags.HasErrors() && key.Type() == cty.String && !key.IsNull() && key.IsKnown() && key.AsString() == name {
				return hcl.RangeBetween(item.KeyExpr.Range(), item.ValueExpr.Range())
			}
		}
	}
	return e.Range()
}

// checker checks the expressions of one stage.
type checker struct {
	p     *Pipeline
	s     *Stage
	ctx   *hcl.EvalContext
	diags hcl.Diagnostics
}

// eval evaluates with the molecule unknown; not ok means that the expression is absent, or that its mistake is said.
func (c *checker) eval(e hcl.Expression, sc scope) (v cty.Value, ok bool) {
	if e == nil {
		return cty.DynamicVal, false
	}
	d := c.p.references(e, sc)
	if v = cty.DynamicVal; !d.HasErrors() {
		v, d = c.p.value(e, c.ctx)
	}
	c.diags = append(c.diags, d...)
	return v, !d.HasErrors()
}

// fail says what is wrong with an expression, nil for nothing.
func (c *checker) fail(e hcl.Expression, summary string, err error) {
	if err != nil {
		c.diags = append(c.diags, wrong(e.Range(), summary, sentence(err.Error())))
	}
}

func (p *Pipeline) checkStage(s *Stage) hcl.Diagnostics {
	c := &checker{p: p, s: s, ctx: p.checkContext(s)}
	base := scope{what: "stage " + s.Name, vars: true, locals: true, mol: true, stages: true, attempt: true, stage: s, each: s.ForEach}
	outer := base
	outer.each, outer.attempt = false, false
	named := func(sc scope, what string) scope { sc.what = what; return sc }
	given := base
	given.program, given.ignores = true, true
	written := base
	written.ignores = true
	reading := named(base, "values and postconditions, which are read again long after the attempt")
	reading.output, reading.attempt = true, false

	if v, ok := c.eval(s.enabled, named(outer, "enabled")); ok && !mayBe(v, cty.Bool) {
		c.fail(s.enabled, "Unsuitable enabled", errors.New("enabled must be true or false"))
	}
	if v, ok := c.eval(s.each, named(outer, "for_each")); ok {
		if t := v.Type(); v.IsNull() || (t != cty.DynamicPseudoType && !t.IsListType() && !t.IsTupleType()) {
			c.fail(s.each, "Unsuitable for_each", fmt.Errorf("for_each needs a list, not %s: the stage runs once for each element", orNull(v)))
		}
	}
	c.checkTimeout(base)
	if v, ok := c.eval(s.cores, named(outer, "cores")); ok {
		c.fail(s.cores, "Unsuitable cores", s.setCores(v))
	}
	if v, ok := c.eval(s.env, given); ok && v.IsKnown() {
		_, err := environment(v)
		c.fail(s.env, "Unsuitable env", err)
	}
	for _, f := range s.files {
		if v, ok := c.eval(f.content, written); ok && !isText(v) {
			c.fail(f.content, "Unsuitable content", errors.New("a file's content must be a text"))
		}
		if v, ok := c.eval(f.source, named(outer, "source")); ok {
			c.fail(f.source, "Unsuitable source", p.checkSource(v))
		}
	}
	for _, cond := range s.pre {
		c.diags = append(c.diags, p.checkCondition(cond, base, c.ctx)...)
	}
	if v, ok := c.eval(s.command, given); ok {
		c.fail(s.command, "Unsuitable command", c.checkCommand(v))
	}
	if v, ok := c.eval(s.programs, named(outer, "programs")); ok {
		c.fail(s.programs, "Unsuitable programs", s.addPrograms(v))
	}
	if v, ok := c.eval(s.worker, named(outer, "worker")); ok {
		c.fail(s.worker, "Unsuitable worker", s.setWorker(v))
	}
	before := scope{what: "validate, which is asked before anything runs", vars: true, locals: true, mol: true, stage: s}
	if v, ok := c.eval(s.validate, before); ok {
		c.fail(s.validate, "Unsuitable validate", c.checkValidate(v))
	}
	p.declarePrograms(s)
	c.checkCompress()
	p.reads = nil
	if v, ok := c.eval(s.values, reading); ok {
		c.checkValues(v)
	}
	if v, ok := c.eval(s.warnings, reading); ok {
		c.fail(s.warnings, "Unsuitable warnings", checkWarnings(v))
	}
	for _, cond := range s.post {
		c.diags = append(c.diags, p.checkCondition(cond, reading, c.ctx)...)
	}
	slices.Sort(p.reads)
	s.reads = slices.Compact(p.reads)
	return c.diags
}

// checkCompress refuses a name that no file has.
func (c *checker) checkCompress() {
	stay := slices.Concat(slices.Collect(maps.Values(c.s.Outputs)), c.s.Keep)
	for _, name := range c.s.Compress {
		one := []string{name}
		if !c.s.vague && !packed.Matches(c.s.Keep, name) && !slices.ContainsFunc(stay, func(file string) bool { return packed.Matches(one, file) }) {
			c.diags = append(c.diags, wrong(c.s.body.Attributes["compress"].Expr.Range(), "Nothing to compress",
				fmt.Sprintf("No output of stage %q is called %q, and keep has no such file.", c.s.Name, name)))
		}
	}
}

// checkTimeout evaluates the timeout as it is at the first attempt: a wrong unit should not wait for the first molecule.
func (c *checker) checkTimeout(sc scope) {
	all := c.ctx
	c.ctx = all.NewChild()
	c.ctx.Variables = map[string]cty.Value{"attempt": cty.Zero, "salvaged": cty.ListValEmpty(cty.String)}
	v, ok := c.eval(c.s.timeout, sc)
	c.ctx = all
	switch {
	case ok && (v.IsKnown() || !mayBe(v, cty.String)):
		_, err := duration(v)
		c.fail(c.s.timeout, "Invalid duration", err)
	}
}

// mayBe tells whether a value that may be unknown can be of a type.
func mayBe(v cty.Value, t cty.Type) bool {
	return v.Type() == t || (v.Type() == cty.DynamicPseudoType && !v.IsKnown())
}

func isText(v cty.Value) bool {
	_, err := convertTo(v, cty.String)
	return err == nil && !(v.IsKnown() && v.IsNull())
}

// orNull names a value's type in a sentence.
func orNull(v cty.Value) string {
	if v.IsKnown() && v.IsNull() {
		return "null"
	}
	return aType(v.Type())
}

func (c *checker) checkValues(v cty.Value) {
	s := c.s
	t := v.Type()
	if t == cty.DynamicPseudoType && !v.IsKnown() {
		return
	}
	if !t.IsObjectType() || v.IsNull() {
		c.fail(s.values, "Unsuitable values", errors.New("values must be an object of names and values, like { energy = xyz(output.geometry).energy }"))
		return
	}
	if typeSize(t, maxTypes) > maxTypes {
		c.fail(s.values, "Value too large", errTooLarge)
		return
	}
	s.valueType = t
	for _, name := range names(t.AttributeTypes()) {
		if err := s.clash(name); err != nil {
			summary := "Duplicate name"
			if reserved(name) {
				summary = "Reserved name"
			}
			c.diags = append(c.diags, wrong(itemRange(s.values, name), summary, sentence(err.Error())))
		}
	}
}

func reserved(name string) bool { return name == "status" || name == "seconds" }

// clash says why a stage can't have a value of that name, nil if it can.
func (s *Stage) clash(name string) error {
	if reserved(name) {
		return fmt.Errorf("every stage has stage.NAME.%s already; call the value something else", name)
	}
	if _, ok := s.Outputs[name]; ok {
		return fmt.Errorf("stage %q has an output and a value called %q; stage.%s.%s would mean both", s.Name, name, s.Name, name)
	}
	return nil
}

func (p *Pipeline) checkSource(v cty.Value) error {
	if !v.IsKnown() || v.IsNull() || v.Type() != cty.String {
		return errors.New("source must be the name of a file beside pipeline.hcl and must not depend on the molecule")
	}
	path := p.rooted(v.AsString())
	if p.sources[path] != nil {
		return nil
	}
	data, err := readBounded(path, maxFileSize)
	if err != nil {
		return fmt.Errorf("%s can't be read (names start in the folder of pipeline.hcl)", v.AsString())
	}
	p.files[path], p.sources[path] = hashOf(data), data
	return nil
}

// checkCommand finds the program, which must be known before any molecule is.
func (c *checker) checkCommand(command cty.Value) error {
	t := command.Type()
	if t != cty.DynamicPseudoType && !t.IsListType() && !t.IsTupleType() {
		return fmt.Errorf(`a command is a list of words, like ["xtb", stage.rdkit.geometry, "--opt"], not %s: no shell stands in between`, aType(t))
	}
	if !command.IsKnown() || command.IsNull() || command.LengthInt() == 0 {
		return errors.New("the command has no first word that is known before a molecule is: the program")
	}
	words := command.AsValueSlice()
	for i, w := range words {
		if w.Type() != cty.DynamicPseudoType && !w.Type().IsPrimitiveType() {
			return fmt.Errorf("word %d of the command is %s; only texts and numbers can be words", i+1, aType(w.Type()))
		}
		if w.IsKnown() && w.IsNull() && !c.s.off {
			return fmt.Errorf("word %d of the command has no value: it names a stage that is turned off, or an empty variable", i+1)
		}
	}
	first := words[0]
	if !first.IsKnown() || first.IsNull() || first.Type() != cty.String || first.AsString() == "" {
		return errors.New("the first word of the command, the program, must be a text that doesn't depend on the molecule")
	}
	if strings.Contains(first.AsString(), ignoreOpen) {
		return errors.New("the first word of the command, the program, is never left out of the fingerprint")
	}
	c.s.Program = first.AsString()
	c.s.Builtin = slices.Contains(c.p.builtins, c.s.Program)
	if !c.s.Builtin {
		c.s.Programs = append(c.s.Programs, c.s.Program)
	}
	return nil
}

func (s *Stage) setCores(v cty.Value) error {
	n, err := convertTo(v, cty.Number)
	if err != nil || !n.IsKnown() || n.IsNull() || !(toFloat(n) >= 1 && toFloat(n) <= 4096) || !n.AsBigFloat().IsInt() {
		return errors.New("cores is how many processor cores the program takes: a whole number that doesn't depend on the molecule")
	}
	s.Cores = int(toFloat(n))
	return nil
}

// setWorker takes the words that start the stage's program as a worker.
func (s *Stage) setWorker(v cty.Value) error {
	list, err := convertTo(v, cty.List(cty.String))
	if err == nil && list.IsWhollyKnown() && !list.IsNull() {
		for _, w := range list.AsValueSlice() {
			if !w.IsNull() {
				s.Worker = append(s.Worker, w.AsString())
			}
		}
	}
	if len(s.Worker) == 0 || (s.Program != "" && s.Worker[0] != s.Program) || s.Builtin {
		return fmt.Errorf("worker is how the command's program is started to stay: a list like [%q, \"script\", \"--serve\"] that doesn't depend on the molecule", s.Program)
	}
	return nil
}

// checkValidate checks the words that the stage's worker is asked about a row.
func (c *checker) checkValidate(v cty.Value) error {
	form := fmt.Errorf("validate is a command that the stage's worker answers for a row: "+
		"a list of words that starts with %q", c.s.Program)
	t := v.Type()
	if !(t.IsTupleType() || t.IsListType()) || !v.IsKnown() || v.IsNull() || v.LengthInt() < 1 {
		return form
	}
	words := v.AsValueSlice()
	for _, w := range words {
		if w.Type() != cty.DynamicPseudoType && !w.Type().IsPrimitiveType() {
			return form
		}
	}
	if !words[0].RawEquals(cty.StringVal(c.s.Program)) {
		return form
	}
	return nil
}

// addPrograms notes what the stage's program starts itself.
func (s *Stage) addPrograms(more cty.Value) error {
	bad := errors.New("programs must be a list of texts that doesn't depend on the molecule")
	list, err := convertTo(more, cty.List(cty.String))
	if err != nil || !list.IsWhollyKnown() || list.IsNull() {
		return bad
	}
	for _, e := range list.AsValueSlice() {
		if e.IsNull() || e.AsString() == "" {
			return bad
		}
		if !slices.Contains(s.Programs, e.AsString()) {
			s.Programs = append(s.Programs, e.AsString())
		}
	}
	return nil
}

// declarePrograms makes a program of each that has no block of its own.
func (p *Pipeline) declarePrograms(s *Stage) {
	for _, name := range s.Programs {
		if p.Programs[name] == nil {
			p.Programs[name] = &Program{Name: name, Candidates: []string{name}, Line: s.Line}
		}
	}
}
