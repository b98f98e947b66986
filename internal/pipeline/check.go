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

// unknownMolecule is the molecule of the check: nothing of it is known but the types.
func (p *Pipeline) unknownMolecule() *Molecule {
	m := p.newMolecule(map[string]cty.Value{})
	if m.mol = cty.DynamicVal; !p.anyColumn {
		mol := map[string]cty.Value{}
		for name := range p.columns {
			mol[name] = cty.UnknownVal(p.columnType(name))
		}
		m.mol = cty.ObjectVal(mol)
	}
	for name := range p.locals {
		if p.cyclic {
			m.locals[name] = cty.DynamicVal
		}
	}
	return m
}

// know has the results of a stage as far as the check knows them. They are unknown values of the
// types that are known by now, or none if the stage is off. For a stage that is off, the results of
// all stages are unknown.
func know(s *Stage, m, off *Molecule) {
	off.setStage(s.Name, s.unknown())
	if s.off {
		m.setStage(s.Name, s.absent())
	} else {
		m.setStage(s.Name, s.unknown())
	}
}

// check evaluates an expression with what the molecule knows, and notes all that is wrong with it.
func (m *Molecule) check(e *expression, extra map[string]cty.Value) (v cty.Value, ok bool) {
	p, before := m.p, len(m.p.mistakes)
	if !p.references(e) {
		return cty.DynamicVal, false
	}
	v, diags := m.evaluate(e, extra)
	if !p.add(diags) {
		return cty.DynamicVal, false
	}
	if typed := p.typed; typed != nil && !p.add(typed.unreached(e, extra)) {
		return v, false
	}
	v, err := asDoubles(v)
	if err == nil && e.want != cty.DynamicPseudoType {
		v, err = converted(e, v)
	}
	if err == nil && e.accept != nil {
		err = e.accept(v)
	}
	p.refuse(e.Range(), "Unsuitable "+e.name, err)
	return v, len(p.mistakes) == before
}

// converted gives a value the type that its attribute has, and says what the attribute must be.
func converted(e *expression, v cty.Value) (cty.Value, error) {
	c, err := convertTo(v, e.want)
	t, null := v.Type(), v.IsKnown() && v.IsNull()
	form, not := e.name+" must be "+aType(e.want), orNull(v)
	switch {
	case e.want == cty.List(cty.String):
		form = e.name + ` is a list of words, texts and numbers, like ["xtb", stage.rdkit.geometry]`
		for i := 0; t.IsTupleType() && i < t.Length(); i++ {
			if of := t.TupleElementType(i); of != cty.DynamicPseudoType && !of.IsPrimitiveType() {
				not = fmt.Sprintf("%s as word %d", aType(of), i+1)
			}
		}
	case e.want == cty.Bool && v.IsKnown() && t != cty.Bool:
		null = true // no text is true or false
	}
	switch {
	case err != nil && aType(e.want) == not:
		return v, fmt.Errorf("%s is unsuitable: %w", e.name, err)
	case err != nil || null:
		return v, fmt.Errorf("%s, not %s", form, not)
	}
	return c, nil
}

// unreached finds mistakes where an evaluation of unknown values does not look. These are the
// arguments of try and can, and what stands behind for, over lists whose elements are not known.
type unreached struct {
	*Pipeline
	scopes []*hcl.EvalContext // of the for expressions around a node, after the molecule's
	found  hcl.Diagnostics
}

func (m *Molecule) unreached(e *expression, extra map[string]cty.Value) hcl.Diagnostics {
	node, ok := e.Expression.(hclsyntax.Node)
	ctx, diags := m.context(e, extra)
	if !ok || diags.HasErrors() {
		return nil
	}
	m.p.watch.underway.Store(e)
	u := &unreached{Pipeline: m.p, scopes: []*hcl.EvalContext{ctx}}
	_ = hclsyntax.Walk(node, u)
	return u.found
}

// Enter evaluates what stands in a node. What depends on a value may fail in try.
func (u *unreached) Enter(n hclsyntax.Node) hcl.Diagnostics {
	scope := u.scopes[len(u.scopes)-1]
	switch x := n.(type) {
	case *hclsyntax.FunctionCallExpr:
		for i := 0; i < len(x.Args) && (x.Name == "try" || x.Name == "can"); i++ {
			_, diags := x.Args[i].Value(scope)
			u.found = append(u.found, slices.DeleteFunc(diags, u.dependsOnValue)...)
		}
	case *hclsyntax.ForExpr:
		inner := scope.NewChild()
		u.scopes = append(u.scopes, inner)
		list, diags := x.CollExpr.Value(scope)
		inner.Variables = map[string]cty.Value{x.KeyVar: cty.DynamicVal,
			x.ValVar: cty.UnknownVal(elementType(list.Type()))}
		for _, body := range []hclsyntax.Expression{x.KeyExpr, x.ValExpr, x.CondExpr} {
			if body != nil && !diags.HasErrors() && !list.IsWhollyKnown() {
				_, diags := body.Value(inner)
				u.found = append(u.found, diags...)
			}
		}
	}
	return nil
}

// Exit ends the scope of a for expression.
func (u *unreached) Exit(n hclsyntax.Node) hcl.Diagnostics {
	if _, ok := n.(*hclsyntax.ForExpr); ok {
		u.scopes = u.scopes[:len(u.scopes)-1]
	}
	return nil
}

// dependsOnValue reports whether an error comes from the value of what an expression names, and not
// from the type. A constant object may have an attribute if a variable has another value.
func (p *Pipeline) dependsOnValue(d *hcl.Diagnostic) bool {
	of := d.Expression
	switch d.Summary {
	case "Not enough function arguments", "Too many function arguments":
		return false
	case "Unsupported attribute", "Invalid index":
		switch x := of.(type) {
		case *hclsyntax.ScopeTraversalExpr:
			for n := len(x.Traversal) - 1; n > 0; n-- { // what is there has not the next part
				v, diags := x.Traversal[:n].TraverseAbs(d.EvalContext)
				if !diags.HasErrors() {
					return v.IsWhollyKnown() && p.varies(of)
				}
			}
		case *hclsyntax.RelativeTraversalExpr:
			of = x.Source
		case *hclsyntax.IndexExpr:
			of = x.Collection
		}
	case "Invalid function argument", "Error in function call", "Invalid operand":
		// of is the argument, the call, the operand
	default:
		return true
	}
	if of == nil {
		return true
	}
	v, diags := of.Value(d.EvalContext)
	return !diags.HasErrors() && v.IsWhollyKnown() && p.varies(of)
}

// varies reports whether a known value may be another one: it names more than constants.
func (p *Pipeline) varies(of hcl.Expression) bool {
	return slices.ContainsFunc(of.Variables(), func(t hcl.Traversal) bool {
		name, _ := attrAt(t, 1)
		l := p.locals[name]
		return t.RootName() != "local" || l == nil || p.varies(l)
	})
}

// checkStage checks the expressions of a stage in their order.
func (p *Pipeline) checkStage(s *Stage, m *Molecule) {
	out := map[string]cty.Value{}
	for name := range s.Outputs {
		out[name] = cty.UnknownVal(cty.String).RefineNotNull()
	}
	extra := map[string]cty.Value{"attempt": cty.UnknownVal(cty.Number).RefineNotNull(),
		"salvaged": cty.UnknownVal(cty.List(cty.String)).RefineNotNull(),
		"output":   cty.ObjectVal(out)}
	if s.vague {
		extra["output"] = cty.DynamicVal
	}
	for _, e := range s.expressions {
		scope := extra
		switch e {
		case s.outputs:
			continue // checked before
		case s.timeout:
			scope = maps.Clone(extra) // a wrong unit should not wait for the first molecule
			scope["attempt"], scope["salvaged"] = cty.Zero, cty.ListValEmpty(cty.String)
		}
		v, _ := m.check(e, scope)
		if e == s.command || e == s.env || e == s.each {
			p.watchScripts(s, m, e, extra)
		}
		if e == s.each {
			extra["each"] = cty.ObjectVal(map[string]cty.Value{
				"key":   cty.UnknownVal(cty.Number).RefineNotNull(),
				"value": cty.UnknownVal(elementType(v.Type()))})
		}
	}
	for _, name := range s.Programs {
		if p.Programs[name] == nil { // it has no block of its own
			p.Programs[name] = &Program{Name: name, Candidates: []string{name}, Line: s.Line}
		}
	}
	p.checkCompress(s)
}

// elementType is the type of all elements of a list, dynamic where they differ.
func elementType(t cty.Type) cty.Type {
	switch {
	case t.IsListType():
		return t.ElementType()
	case t.IsTupleType() && t.Length() > 0:
		first := t.TupleElementType(0)
		other := func(e cty.Type) bool { return !e.Equals(first) }
		if !slices.ContainsFunc(t.TupleElementTypes(), other) {
			return first
		}
	}
	return cty.DynamicPseudoType
}

// checkCompress refuses a name that no file has.
func (p *Pipeline) checkCompress(s *Stage) {
	stay := slices.Concat(slices.Collect(maps.Values(s.Outputs)), s.Keep)
	for _, name := range s.Compress {
		one := []string{name}
		fits := func(file string) bool { return packed.Matches(one, file) }
		if !s.vague && !packed.Matches(s.Keep, name) && !slices.ContainsFunc(stay, fits) {
			p.wrong(s.compressed, "Nothing to compress", "No output of stage %q is called %q, "+
				"and keep has no such file.", s.Name, name)
		}
	}
}

func (p *Pipeline) setOutputs(s *Stage, v cty.Value) error {
	if !v.IsWhollyKnown() || v.IsNull() || !isObject(v.Type()) {
		return errors.New(`outputs must be an object of names and files, like { geometry = ` +
			`"xtbopt.xyz" }, that doesn't depend on the molecule`)
	}
	values := v.AsValueMap()
	for _, name := range names(values) {
		file, ok := as[string](values[name])
		rng, bad := itemRange(s.outputs, name), scratchName(file)
		switch {
		case !ok:
			p.wrong(rng, "Unsuitable outputs", "The output %q must be a file name.", name)
		case !p.free(s, s.outputs, name):
		case strings.ContainsAny(file, "*?["):
			p.wrong(rng, "Unsuitable outputs", "%q is a pattern. An output is one file: name it, "+
				"or list the pattern in keep.", file)
		case bad != "":
			p.wrong(rng, "Path outside of the scratch folder", "%s", bad)
		default:
			s.Outputs[name] = file
		}
	}
	return nil
}

// free reports whether a stage may have an output or a value of that name, and notes why not.
func (p *Pipeline) free(s *Stage, e *expression, name string) bool {
	summary := "Duplicate name"
	if reserved(name) {
		summary = "Reserved name"
	}
	return p.refuse(itemRange(e, name), summary, s.clash(name))
}

// itemRange is the place of one name of an object that is written out, else of the expression.
func itemRange(e *expression, name string) hcl.Range {
	pairs, _ := hcl.ExprMap(e.Expression)
	for _, pair := range pairs {
		if key, _ := pair.Key.Value(nil); key.RawEquals(cty.StringVal(name)) {
			return hcl.RangeBetween(pair.Key.Range(), pair.Value.Range())
		}
	}
	return e.Range()
}

func (p *Pipeline) setValueType(s *Stage, v cty.Value) error {
	t := v.Type()
	if t == cty.DynamicPseudoType && !v.IsKnown() {
		return nil
	}
	if !t.IsObjectType() || v.IsNull() {
		return errors.New("values must be an object of names and values, like { energy = " +
			"xyz(output.geometry).energy }")
	}
	for _, name := range names(t.AttributeTypes()) {
		p.free(s, s.values, name)
	}
	s.valueType = t
	return nil
}

func reserved(name string) bool { return name == "status" || name == "seconds" }

// clash says why a stage can't have a value of that name, nil if it can.
func (s *Stage) clash(name string) error {
	if reserved(name) {
		return fmt.Errorf("every stage has stage.NAME.%s already; call this something else", name)
	}
	if _, ok := s.Outputs[name]; ok {
		return fmt.Errorf("stage %q has an output and a value called %q; stage.%s.%s would mean "+
			"both", s.Name, name, s.Name, name)
	}
	return nil
}

// setSource reads a file that stands beside pipeline.hcl. If it is another one for each molecule,
// it is read for the molecule.
func (p *Pipeline) setSource(v cty.Value) error {
	if !v.IsKnown() {
		return nil
	}
	path := p.rooted(v.AsString())
	if p.sources[path] == nil {
		data, err := readSource(path, v.AsString())
		if err != nil {
			return err
		}
		p.sources[path] = data
	}
	p.files[path] = hashOf(p.sources[path])
	return nil
}

func readSource(path, name string) ([]byte, error) {
	data, err := readBounded(path, maxFileSize)
	if err != nil {
		return nil, fmt.Errorf("%s can't be read (names start in the folder of pipeline.hcl): %w",
			name, err)
	}
	return withoutCR(data), nil
}

// acceptValidate checks the words that the stage's worker is asked about a row.
func (s *Stage) acceptValidate(v cty.Value) error {
	if s.Program == "" {
		return nil // the command has a mistake
	}
	if !v.IsKnown() || v.LengthInt() < 1 || !v.Index(cty.Zero).RawEquals(cty.StringVal(s.Program)) {
		return fmt.Errorf("validate is a command that the stage's worker answers for a row: a "+
			"list of words that starts with %q", s.Program)
	}
	return nil
}

// addPrograms notes what the stage's program starts itself.
func (s *Stage) addPrograms(more []string) bool {
	for _, name := range more {
		if !slices.Contains(s.Programs, name) {
			s.Programs = append(s.Programs, name)
		}
	}
	return !slices.Contains(more, "")
}

// only has of a function that reads a value what it says is wrong.
func only[T any](read func(cty.Value) (T, error)) func(cty.Value) error {
	return func(v cty.Value) error {
		_, err := read(v)
		return err
	}
}

// maxSizes is how many numbers may say how large a molecule is: each of them has to be learnt.
const maxSizes = 4

func acceptSize(v cty.Value) error {
	t := v.Type()
	if !t.IsTupleType() || v.IsNull() || t.Length() < 1 || t.Length() > maxSizes {
		return fmt.Errorf("size is a list of 1 to %d numbers, like [heavy_atoms(mol.smiles), "+
			"rotatable_bonds(mol.smiles)]", maxSizes)
	}
	for _, e := range t.TupleElementTypes() {
		if e != cty.Number && e != cty.DynamicPseudoType {
			return fmt.Errorf("size has %s in it; it is made of numbers", aType(e))
		}
	}
	return nil
}
