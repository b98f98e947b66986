package pipeline

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
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

// know has the results of a stage as far as the check knows them: none if it is off, and unknown
// ones of the types that are known by now. whatever is for stages that are off themselves.
func (m *Molecule) know(s *Stage, whatever bool) {
	v := s.unknown()
	if s.off && !whatever {
		v = s.absent()
	}
	m.setStage(s.Name, v)
}

// check evaluates an expression with what the molecule knows, and says all that is wrong with it.
func (m *Molecule) check(e *expression, extra map[string]cty.Value) (cty.Value, hcl.Diagnostics) {
	diags := m.p.references(e)
	if diags.HasErrors() {
		return cty.DynamicVal, diags
	}
	m.p.watch.at(e)
	v, diags := m.evaluate(e, extra)
	if diags.HasErrors() {
		return cty.DynamicVal, diags
	}
	if diags = m.comparisons(e, extra); diags.HasErrors() {
		return v, diags
	}
	v, err := asDoubles(v)
	if err == nil && e.want != cty.DynamicPseudoType {
		v, err = converted(e, v)
	}
	if err == nil && e.accept != nil {
		err = e.accept(v)
	}
	if several := (hcl.Diagnostics)(nil); errors.As(err, &several) {
		return v, several
	}
	if errors.Is(err, errInfinite) {
		return v, hcl.Diagnostics{wrong(e.Range(), "Number out of range", sentence(err.Error()))}
	}
	if err != nil {
		return v, hcl.Diagnostics{wrong(e.Range(), "Unsuitable "+e.name, sentence(err.Error()))}
	}
	return v, nil
}

// converted gives a value the type that its attribute has, and says what the attribute must be.
func converted(e *expression, v cty.Value) (cty.Value, error) {
	c, err := convertTo(v, e.want)
	if t := v.Type(); (err != nil || v.IsKnown() && v.IsNull()) && e.want == cty.List(cty.String) {
		what := orNull(v)
		for i := 0; t.IsTupleType() && i < t.Length(); i++ {
			if elem := t.TupleElementType(i); elem != cty.DynamicPseudoType &&
				!elem.IsPrimitiveType() {
				what = fmt.Sprintf("%s as word %d", aType(elem), i+1)
			}
		}
		return v, fmt.Errorf("%s is a list of words, texts and numbers, like [\"xtb\", "+
			"stage.rdkit.geometry, \"--opt\"], not %s",
			e.name, what)
	}
	if known := v.IsKnown(); err != nil || known && v.IsNull() || e.want == cty.Bool && known &&
		v.Type() != cty.Bool {
		return v, fmt.Errorf("%s must be %s, not %s", e.name, aType(e.want), orNull(v))
	}
	return c, nil
}

// comparisons finds a text that is compared with a number: they are never equal.
func (m *Molecule) comparisons(e *expression, extra map[string]cty.Value) (diags hcl.Diagnostics) {
	visit(e.Expression, func(n hclsyntax.Node) {
		x, ok := n.(*hclsyntax.BinaryOpExpr)
		if !ok || x.Op != hclsyntax.OpEqual && x.Op != hclsyntax.OpNotEqual {
			return
		}
		ctx, _ := m.context(e, extra)
		left, d := x.LHS.Value(ctx)
		right, d2 := x.RHS.Value(ctx)
		if d.HasErrors() || d2.HasErrors() { // as of a variable of a for expression
			return
		}
		text, other := x.LHS, right
		if right.Type() == cty.String {
			text, other = x.RHS, left
		}
		mend := map[cty.Type]string{cty.Number: "tonumber", cty.Bool: "tobool"}[other.Type()]
		if left.Type() == right.Type() || mend == "" || left.Type() != cty.String &&
			right.Type() != cty.String {
			return
		}
		source := string(text.Range().SliceBytes(m.p.src))
		if ctx := text.Range(); ctx.Filename != m.p.Path {
			source = "..."
		}
		diags = append(diags, wrongf(x.Range(), "Text compared with another type",
			"A text never equals %s: write "+
				"%s(%s). A column of numbers of your own is declared as: column \"NAME\" { type = "+
				"number }.",
			aType(other.Type()), mend, source))
	})
	return diags
}

// checkStage checks the expressions of a stage in their order.
func (p *Pipeline) checkStage(s *Stage, m *Molecule) (diags hcl.Diagnostics) {
	out := map[string]cty.Value{}
	for name := range s.Outputs {
		out[name] = cty.UnknownVal(cty.String).RefineNotNull()
	}
	extra := map[string]cty.Value{"attempt": cty.UnknownVal(cty.Number).RefineNotNull(),
		"salvaged": cty.UnknownVal(cty.List(cty.String)).RefineNotNull(),
		"output":   cty.ObjectVal(out)}
	first := maps.Clone(extra)
	first["attempt"], first["salvaged"] = cty.Zero, cty.ListValEmpty(cty.String)
	p.reads = nil
	for _, e := range s.expressions {
		scope := extra
		if e == s.timeout {
			scope = first // a wrong unit should not wait for the first molecule
		}
		if e == s.values {
			p.reads = nil // from here on, what is read does not decide what runs
		}
		if e == s.outputs {
			continue // checked before
		}
		v, d := m.check(e, scope)
		diags = append(diags, d...)
		switch {
		case e == s.each:
			value := cty.DynamicVal
			if t := v.Type(); t.IsListType() {
				value = cty.UnknownVal(t.ElementType())
			}
			key := cty.UnknownVal(cty.Number).RefineNotNull()
			each := cty.ObjectVal(map[string]cty.Value{"key": key, "value": value})
			extra["each"], first["each"] = each, each
		case e == s.command && !d.HasErrors():
			diags = append(diags, p.checkCommand(s, e, v)...)
		case !d.HasErrors() && slices.ContainsFunc(s.files,
			func(f *file) bool { return f.source == e }):
			diags = append(diags, p.checkSource(e, v)...)
		}
	}
	for _, name := range s.Programs {
		if p.Programs[name] == nil { // it has no block of its own
			p.Programs[name] = &Program{Name: name, Candidates: []string{name}, Line: s.Line}
		}
	}
	slices.Sort(p.reads)
	s.reads = slices.Compact(p.reads)
	return append(diags, s.checkCompress()...)
}

// checkCompress refuses a name that no file has.
func (s *Stage) checkCompress() (diags hcl.Diagnostics) {
	stay := slices.Concat(slices.Collect(maps.Values(s.Outputs)), s.Keep)
	for _, name := range s.Compress {
		one := []string{name}
		fits := func(file string) bool { return packed.Matches(one, file) }
		if !s.vague && !packed.Matches(s.Keep, name) && !slices.ContainsFunc(stay, fits) {
			diags = append(diags, wrongf(s.compressed, "Nothing to compress",
				"No output of stage %q is called %q, and keep has no such file.", s.Name, name))
		}
	}
	return diags
}

func (s *Stage) setOutputs(v cty.Value) error {
	if t := v.Type(); !v.IsWhollyKnown() || v.IsNull() || !isObject(t) {
		return errors.New(`outputs must be an object of names and files, ` +
			`like { geometry = "xtbopt.xyz" }, ` +
			`that doesn't depend on the molecule`)
	}
	var diags hcl.Diagnostics
	values := v.AsValueMap()
	for _, name := range names(values) {
		rng := itemRange(s.outputs, name)
		text, err := convertTo(values[name], cty.String)
		switch {
		case err != nil || text.IsNull():
			diags = append(diags, wrongf(rng, "Unsuitable outputs",
				"The output %q must be a file name.", name))
		case reserved(name):
			diags = append(diags, wrong(rng, "Reserved name", sentence(s.clash(name).Error())))
		case scratchName(text.AsString()) != "":
			diags = append(diags, wrong(rng, "Path outside of the scratch folder",
				scratchName(text.AsString())))
		default:
			s.Outputs[name] = text.AsString()
		}
	}
	if diags.HasErrors() {
		return diags
	}
	return nil
}

// itemRange is the place of one name of an object that is written out, else of the whole
// expression.
func itemRange(e *expression, name string) hcl.Range {
	if obj, ok := e.Expression.(*hclsyntax.ObjectConsExpr); ok {
		for _, item := range obj.Items {
			if key, diags := item.KeyExpr.Value(nil); !diags.HasErrors() &&
				key.RawEquals(cty.StringVal(name)) {
				return hcl.RangeBetween(item.KeyExpr.Range(), item.ValueExpr.Range())
			}
		}
	}
	return e.Range()
}

func (s *Stage) setValueType(v cty.Value) error {
	t := v.Type()
	if t == cty.DynamicPseudoType && !v.IsKnown() {
		return nil
	}
	if !t.IsObjectType() || v.IsNull() {
		return errors.New("values must be an object of names and values, like { energy = " +
			"xyz(output.geometry).energy }")
	}
	var diags hcl.Diagnostics
	for _, name := range names(t.AttributeTypes()) {
		if err := s.clash(name); err != nil {
			summary := "Duplicate name"
			if reserved(name) {
				summary = "Reserved name"
			}
			diags = append(diags, wrong(itemRange(s.values, name), summary, sentence(err.Error())))
		}
	}
	if s.valueType = t; diags.HasErrors() {
		return diags
	}
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

func (p *Pipeline) checkSource(e *expression, v cty.Value) hcl.Diagnostics {
	text := "source must be the name of a file beside pipeline.hcl and must not depend on the " +
		"molecule."
	if v.IsKnown() {
		path := p.rooted(v.AsString())
		data, err := p.sources[path], error(nil)
		if data == nil {
			data, err = readBounded(path, maxFileSize)
		}
		if err == nil {
			p.files[path], p.sources[path] = hashOf(data), data
			return nil
		}
		text = fmt.Sprintf("%s can't be read (names start in the folder of pipeline.hcl).",
			v.AsString())
	}
	return hcl.Diagnostics{wrong(e.Range(), "Unsuitable source", text)}
}

// shellWords are what only a shell understands.
var shellWords = []string{">", ">>", "<", "|", "||", "&", "&&", ";", "2>", "2>&1"}

// globWord is a word that a shell would replace by the names of files.
var globWord = regexp.MustCompile(`^[\w./-]*\*[\w-]*\.\w+$`)

// checkCommand finds the program, which must be known before any molecule is, and what only a shell
// or the folder of pipeline.hcl would make of the words.
func (p *Pipeline) checkCommand(s *Stage, e *expression, command cty.Value) hcl.Diagnostics {
	refuse := func(format string, args ...any) hcl.Diagnostics {
		return hcl.Diagnostics{wrong(e.Range(), "Unsuitable command", sentence(fmt.Sprintf(format,
			args...)))}
	}
	if !command.IsKnown() || command.LengthInt() == 0 {
		return refuse("the command has no first word that is known before a molecule is: the " +
			"program")
	}
	for i, w := range command.AsValueSlice() {
		switch {
		case w.IsKnown() && w.IsNull() && !s.off:
			return refuse("word %d of the command has no value: it names a stage that is turned "+
				"off, or an empty variable", i+1)
		case i == 0 && (!w.IsKnown() || w.IsNull() || w.AsString() == ""):
			return refuse("the first word of the command, the program, must be a text that " +
				"doesn't depend on the molecule")
		case i == 0 && strings.Contains(w.AsString(), ignoreOpen):
			return refuse("the first word of the command, the program, is never left out of the " +
				"fingerprint")
		case i == 0:
			s.Program = w.AsString()
		case !w.IsKnown() || w.IsNull():
		case slices.Contains(shellWords, w.AsString()):
			return refuse("word %d of the command is %s, but no shell reads the command. What the "+
				"program prints is the file "+
				"stdout: outputs = { log = \"stdout\" }. With a shell: [\"sh\", \"-c\", \"...\"]",
				i+1, w.AsString())
		default:
			if text := p.checkWord(s, w.AsString()); text != "" {
				return refuse("word %d of the command %s", i+1, text)
			}
		}
	}
	s.Builtin = slices.Contains(p.builtins, s.Program)
	if !s.Builtin && !slices.Contains(s.Programs, s.Program) {
		s.Programs = append([]string{s.Program}, s.Programs...)
	}
	return nil
}

// pathWord is a word that is meant as a file: a path, or the name of a script.
var pathWord = regexp.MustCompile(`^\S*/\S+$|^\S+\.(py|sh|pl|jl|[Rr]|awk|tcl)$`)

// checkWord looks at a word that may name a file of the user's own. An absolute path is watched; a
// relative one would be looked for in the scratch folder.
func (p *Pipeline) checkWord(s *Stage, word string) string {
	if globWord.MatchString(word) {
		return fmt.Sprintf("is %s, but no shell fills in the *: name the files themselves", word)
	}
	made := slices.Contains(s.FileNames(), word)
	info, err := os.Stat(p.rooted(word))
	if err != nil || !info.Mode().IsRegular() || made || !pathWord.MatchString(word) {
		return ""
	}
	if !filepath.IsAbs(word) {
		return fmt.Sprintf("is %s, a file beside pipeline.hcl, which is not in the folder where "+
			"the program runs: file %[2]q { source = %[1]q }, and %[2]q in the command",
			word, filepath.Base(word))
	}
	if data, err := readBounded(word, maxFileSize); err == nil {
		p.files[word] = hashOf(data)
		s.watched = append(s.watched, Input{Name: word, Path: word, SHA256: p.files[word]})
	}
	return ""
}

func (s *Stage) setCores(v cty.Value) error {
	n, ok := as[int](v)
	if s.Cores = n; !ok || !within(1, 4096)(n) {
		return errors.New("cores is how many processor cores the program takes: a whole number " +
			"that doesn't depend on the molecule")
	}
	return nil
}

// setWorker takes the words that start the stage's program as a worker.
func (s *Stage) setWorker(v cty.Value) error {
	words, ok := as[[]string](v)
	s.Worker = words
	if !ok || len(words) == 0 || s.Program != "" && words[0] != s.Program || s.Builtin {
		return fmt.Errorf("worker is how the command's program is started to stay: a list like "+
			"[%q, \"script\", \"--serve\"] that doesn't depend on the molecule", s.Program)
	}
	return nil
}

// acceptValidate checks the words that the stage's worker is asked about a row.
func (s *Stage) acceptValidate(v cty.Value) error {
	if !v.IsKnown() || v.LengthInt() < 1 || !v.Index(cty.Zero).RawEquals(cty.StringVal(s.Program)) {
		return fmt.Errorf("validate is a command that the stage's worker answers for a row: a "+
			"list of words that starts with %q", s.Program)
	}
	return nil
}

// addPrograms notes what the stage's program starts itself.
func (s *Stage) addPrograms(v cty.Value) error {
	more, ok := as[[]string](v)
	if !ok || slices.Contains(more, "") {
		return errors.New("programs must be a list of texts that doesn't depend on the molecule")
	}
	for _, name := range more {
		if !slices.Contains(s.Programs, name) {
			s.Programs = append(s.Programs, name)
		}
	}
	return nil
}

func acceptList(v cty.Value) error {
	if t := v.Type(); v.IsNull() || t != cty.DynamicPseudoType && !t.IsListType() &&
		!t.IsTupleType() {
		return fmt.Errorf("for_each needs a list, not %s: the stage runs once for each element",
			orNull(v))
	}
	return nil
}

func acceptEnvironment(v cty.Value) error {
	_, err := environment(v)
	return err
}

func acceptTimeout(v cty.Value) error {
	if !v.IsKnown() && (v.Type() == cty.String || v.Type() == cty.DynamicPseudoType) {
		return nil
	}
	_, err := duration(v)
	return err
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
