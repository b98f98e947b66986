package pipeline

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/gocty"
)

// Bounds of what a file may ask for. All are far beyond any pipeline that a person writes.
const (
	maxFileSize     = 64 << 20  // bytes of every text that file() reads into an expression
	maxPipelineSize = 256 << 10 // bytes of pipeline.hcl, of a file of values and of a template
	maxDepth        = 100       // brackets that are open at one place: the parser recurses
	maxBlocks       = 1000      // blocks of pipeline.hcl
	maxMistakes     = 50        // mistakes that are shown
	maxTargets      = 2000      // of a stage that at_least may ask for
)

// Load reads, checks and orders a pipeline. An error of the file's own making is an *Errors with
// every mistake in it.
func Load(path string, o Options) (*Pipeline, error) {
	src, err := readBounded(path, maxPipelineSize)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w (run this in the folder of pipeline.hcl, or name another with "+
			"-pipeline=FILE)", err)
	}
	if err != nil {
		return nil, err
	}
	return loadText(path, src, o)
}

func loadText(path string, src []byte, o Options) (*Pipeline, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	p := &Pipeline{Path: path, Dir: filepath.Dir(abs), builtins: o.Builtins, reserved: o.Reserved,
		Given: map[string]int{}, Programs: map[string]*Program{}, locals: map[string]*expression{},
		variables: map[string]*Variable{}, stages: map[string]*Stage{},
		columns: map[string]column{},
		files:   map[string]string{}, sources: map[string][]byte{}, versions: map[string]int{},
		texts: map[string]*hcl.File{}, claimed: map[string]int{}, exports: cty.EmptyObject,
		watch: newWatch()}
	p.addFunctions(o.Functions)
	for path, data := range o.sources {
		p.files[path], p.sources[path] = hashOf(data), data
	}
	p.src = plainText(src)
	diags := p.watch.over(func() hcl.Diagnostics { return p.load(o) })
	if diags.HasErrors() {
		return nil, &Errors{path, p.texts, tidy(soften(diags))}
	}
	p.watch = nil
	return p, nil
}

// plainText is a text without a byte order mark and with LF alone at the ends of lines: what an
// editor makes of a file must not change a result.
func plainText(src []byte) []byte {
	return bytes.ReplaceAll(bytes.TrimPrefix(src, []byte("\ufeff")), []byte("\r\n"), []byte("\n"))
}

func readBounded(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case os.IsNotExist(err):
		return nil, fmt.Errorf("%s: %w", path, fs.ErrNotExist)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", path, err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s: is not a file", path)
	case info.Size() > limit:
		return nil, fmt.Errorf("%s: is larger than %d bytes", path, limit)
	}
	return os.ReadFile(path)
}

// Format lays out the text of a pipeline in the usual way. It changes white space alone.
func Format(src []byte) []byte { return hclwrite.Format(src) }

func (p *Pipeline) load(o Options) hcl.Diagnostics {
	file, diags := p.parse(p.Path, p.src)
	if diags.HasErrors() {
		return diags // what follows from a syntax error is not the user's mistake
	}
	body := file.Body.(*hclsyntax.Body)
	p.instrument(body)
	diags = append(p.decode(body), p.setVariables(o)...)
	if len(p.stages) == 0 && !diags.HasErrors() {
		diags = append(diags, wrong(hcl.Range{Filename: p.Path, Start: hcl.InitialPos,
			End: hcl.InitialPos},
			"Pipeline without stages", "The file declares no stage, so there is nothing to run. "+
				"A stage is a block: stage \"name\" { command = [...] }."))
	}
	if _, given := p.Given["artefacts"]; o.Table != "" && o.Table != p.Table && !given {
		p.Artefacts = p.artefactsOf(o.Table)
	}
	p.Table = cmp.Or(o.Table, p.Table)
	if o.Reruns != nil {
		p.MaxReruns = *o.Reruns
	}
	if o.Jobs != nil {
		p.Jobs = *o.Jobs
	}
	diags = append(diags, p.readColumns(o)...)
	if o.Export != nil {
		t, err := gocty.ImpliedType(o.Export)
		if err != nil {
			panic(err) // the caller's type has no form in HCL
		}
		p.exports = t
	}
	return append(diags, p.check()...)
}

// artefactsOf is the folder of a table that is not the pipeline's: beside the table, or in the
// pipeline's folder for one on a server.
func (p *Pipeline) artefactsOf(table string) string {
	if server, err := url.Parse(table); err == nil && strings.Contains(table, "://") {
		name := cmp.Or(server.Query().Get("table"), path.Base(server.Path))
		table = p.rooted(filepath.Base(name))
	}
	return strings.TrimSuffix(table, ".csv") + ".artefacts"
}

// readColumns takes the table's columns, and those that the file declares.
func (p *Pipeline) readColumns(o Options) (diags hcl.Diagnostics) {
	if o.Columns == nil {
		p.anyColumn = true
		return nil
	}
	columns, err := o.Columns(p.Table)
	if p.anyColumn = err != nil; p.anyColumn {
		return nil
	}
	known := map[string]bool{}
	for _, c := range columns {
		if known[c.Name] = true; !p.columns[c.Name].declared {
			p.columns[c.Name] = column{number: c.Number}
		}
	}
	for _, b := range p.declared {
		if name := b.Labels[0]; !known[name] {
			diags = append(diags, wrongf(b.DefRange, "Unknown column",
				"The table has no column %q.%s", name, didYouMean(name, names(known))))
		}
	}
	return diags
}

// parse reads the syntax of a file.
func (p *Pipeline) parse(path string, src []byte) (*hcl.File, hcl.Diagnostics) {
	p.texts[path] = &hcl.File{Bytes: src}
	if at := firstInvalid(src); at >= 0 {
		pos := hcl.Pos{Line: 1 + bytes.Count(src[:at], []byte("\n")), Column: 1, Byte: at}
		return nil, hcl.Diagnostics{wrong(hcl.Range{Filename: path, Start: pos, End: pos},
			"File is not UTF-8",
			"A byte in this line can't be part of a UTF-8 text. Save the file as UTF-8.")}
	}
	tokens, _ := hclsyntax.LexConfig(src, path, hcl.InitialPos)
	if d := tooDeep(tokens); d != nil {
		return nil, hcl.Diagnostics{d}
	}
	file, diags := hclsyntax.ParseConfig(src, path, hcl.InitialPos)
	if file != nil {
		p.texts[path] = file
	}
	return file, unclosed(diags, tokens)
}

func firstInvalid(src []byte) int {
	for at := 0; at < len(src); {
		r, n := utf8.DecodeRune(src[at:])
		if r == utf8.RuneError && n == 1 {
			return at
		}
		at += n
	}
	return -1
}

// tooDeep finds brackets, and operators before one operand, that nest too deeply for the parser.
func tooDeep(tokens hclsyntax.Tokens) *hcl.Diagnostic {
	depth, prefixes := 0, 0
	for _, t := range tokens {
		prefixes++
		switch t.Type {
		case hclsyntax.TokenOBrace, hclsyntax.TokenOBrack, hclsyntax.TokenOParen,
			hclsyntax.TokenTemplateInterp,
			hclsyntax.TokenTemplateControl, hclsyntax.TokenOQuote, hclsyntax.TokenOHeredoc:
			depth++
		case hclsyntax.TokenCBrace, hclsyntax.TokenCBrack, hclsyntax.TokenCParen,
			hclsyntax.TokenTemplateSeqEnd,
			hclsyntax.TokenCQuote, hclsyntax.TokenCHeredoc:
			depth--
		case hclsyntax.TokenBang, hclsyntax.TokenMinus, hclsyntax.TokenComment,
			hclsyntax.TokenNewline:
		default:
			prefixes = 0
		}
		if depth > maxDepth || prefixes > 100*maxDepth {
			return wrongf(t.Range, "Nesting too deep", "More than %d brackets are open here. "+
				"Give parts of it a name in a locals block.", maxDepth)
		}
	}
	return nil
}

// unclosed leaves, of the mistakes that follow from a text without an end, one: where it begins.
func unclosed(diags hcl.Diagnostics, tokens hclsyntax.Tokens) hcl.Diagnostics {
	find := func(summary string) *hcl.Diagnostic {
		i := slices.IndexFunc(diags, func(d *hcl.Diagnostic) bool { return d.Summary == summary })
		if i < 0 {
			return nil
		}
		return diags[i]
	}
	if d := find("Unclosed template interpolation sequence"); d != nil {
		return hcl.Diagnostics{d}
	}
	if d := find("Invalid multi-line string"); d != nil {
		for _, t := range tokens {
			if t.Type == hclsyntax.TokenOQuote && t.Range.Start.Line == d.Subject.Start.Line {
				return hcl.Diagnostics{wrong(hcl.RangeBetween(t.Range, *d.Subject),
					"Text without an end",
					"A text begins in this line that no quote ends. A text of several lines is "+
						"written as <<-EOT ... EOT.")}
			}
		}
	}
	if d := find("Unterminated template string"); d != nil {
		var open []hclsyntax.Token
		for _, t := range tokens {
			switch t.Type {
			case hclsyntax.TokenOHeredoc:
				open = append(open, t)
			case hclsyntax.TokenCHeredoc:
				open = open[:max(len(open)-1, 0)]
			}
		}
		if len(open) > 0 {
			rng := open[0].Range
			rng.End = hcl.Pos{Line: rng.Start.Line, Column: rng.Start.Column + 2,
				Byte: rng.Start.Byte + 2}
			return hcl.Diagnostics{wrongf(rng, "Text without an end",
				"The text that begins here has no end: a line with nothing but %s.",
				strings.Trim(string(open[0].Bytes), "<- \n"))}
		}
	}
	return diags
}

// check finds every mistake that can be found without a molecule: unknown names first, then cycles,
// then the types, by evaluating everything once with the molecule's cells and all results unknown.
func (p *Pipeline) check() hcl.Diagnostics {
	p.vars = p.variableObject()
	diags := append(p.link(), p.checkVariables()...)
	m := p.unknownMolecule()
	for _, s := range p.Stages {
		if s.outputs != nil {
			_, d := m.check(s.outputs, nil)
			diags, s.vague = append(diags, d...), d.HasErrors()
		}
		s.off = p.turnedOff(s)
	}
	diags = append(diags, p.order()...)
	off := p.unknownMolecule() // of what is off together, one thing may use another
	for _, s := range p.Stages {
		m.know(s, false)
		off.know(s, true)
	}
	for _, s := range p.Stages {
		if s.off {
			diags = append(diags, p.checkStage(s, off)...)
		} else {
			diags = append(diags, p.checkStage(s, m)...)
		}
		m.know(s, false)
		off.know(s, true)
	}
	for _, name := range names(p.locals) {
		_, d := m.check(p.locals[name], nil)
		diags = append(diags, d...)
	}
	diags = append(diags, p.checkSize(m)...)
	for _, c := range p.molecule {
		diags = append(diags, m.checkCondition(c, nil)...)
	}
	for _, e := range p.merge {
		diags = append(diags, p.checkMerge(e, m)...)
	}
	diags = append(diags, p.checkExport(m)...)
	for _, e := range p.display {
		const detail = "The display shows texts and numbers"
		diags = append(diags, m.checkText(e, "Unsuitable text", detail)...)
	}
	p.Checked, p.Columns = p.usedColumns()
	if diags.HasErrors() {
		return diags
	}
	p.absent = map[string]cty.Value{}
	for _, s := range p.Stages {
		s.none = s.absentTarget()
		s.reading = p.newReading(s)
		p.absent[s.Name] = s.absent()
	}
	p.Key = p.key()
	return nil
}

// order sorts the stages by their references; stages that don't depend on each other stay in the
// file's order.
func (p *Pipeline) order() hcl.Diagnostics {
	var all []string
	for _, s := range p.Stages {
		for _, e := range s.expressions {
			s.DependsOn = append(s.DependsOn, e.stages...)
		}
		slices.Sort(s.DependsOn)
		s.DependsOn = slices.DeleteFunc(slices.Compact(s.DependsOn), func(name string) bool {
			return p.stages[name] == nil || name == s.Name
		})
		all = append(all, s.Name)
	}
	sorted, cycle := sortGraph(all, func(n string) []string { return p.stages[n].DependsOn })
	if cycle != nil {
		return hcl.Diagnostics{describeCycle("stage", cycle,
			func(n string) hcl.Range { return p.stages[n].rng })}
	}
	for i, name := range sorted {
		p.Stages[i] = p.stages[name]
	}
	return nil
}

func describeCycle(kind string, path []string, at func(string) hcl.Range) *hcl.Diagnostic {
	var steps []string
	for _, n := range path {
		steps = append(steps, fmt.Sprintf("%s.%s (line %d)", kind, n, at(n).Start.Line))
	}
	if len(path) == 2 {
		return wrongf(at(path[0]), "Cycle", "%s needs its own value.", steps[0])
	}
	return wrong(at(path[0]), "Cycle", "These need each other, so that none can be first: "+
		strings.Join(steps, " needs ")+".")
}

// usedColumns are the columns that decide whether a row can be used, and all that are read.
func (p *Pipeline) usedColumns() (checked, all []string) {
	for _, b := range p.declared {
		checked = append(checked, b.Labels[0])
	}
	for _, e := range p.moleculeExpressions() {
		checked = append(checked, e.columns...)
	}
	all = slices.Clone(checked)
	for _, e := range p.expressions() {
		all = append(all, e.columns...)
	}
	slices.Sort(checked)
	slices.Sort(all)
	return slices.Compact(checked), slices.Compact(all)
}

// turnedOff says whether a stage is off for every molecule, as by var.search == "crest" &&
// stage.rdkit.nrotors > 0 with another search.
func (p *Pipeline) turnedOff(s *Stage) bool {
	if s.enabled == nil || p.references(s.enabled) != nil {
		return false
	}
	m := p.unknownMolecule()
	m.stageObject = cty.DynamicVal
	v, diags := m.evaluate(s.enabled, nil)
	return !diags.HasErrors() && v.Type() == cty.Bool && v.IsKnown() && !v.IsNull() && v.False()
}

// checkMerge checks a cell of the merge block. A stage must not read what the block writes: the
// molecule would be stale after its own result.
func (p *Pipeline) checkMerge(e *expression, m *Molecule) hcl.Diagnostics {
	for _, s := range p.Stages {
		if slices.ContainsFunc(s.expressions,
			func(o *expression) bool { return slices.Contains(o.columns, e.name) }) {
			return hcl.Diagnostics{wrongf(e.at, "Column is read and merged",
				"Stage %q (line %d) reads "+
					"mol.%s, and the merge block writes it: each result would ask for another. "+
					"Give "+
					"the cell another name.",
				s.Name, s.Line, e.name)}
		}
	}
	return m.checkText(e, "Unsuitable cell", "A cell of the table holds a text or a number")
}

// checkText checks an expression that gives a text or a number.
func (m *Molecule) checkText(e *expression, summary, detail string) hcl.Diagnostics {
	v, diags := m.check(e, nil)
	if t := v.Type(); !diags.HasErrors() && t != cty.DynamicPseudoType && !t.IsPrimitiveType() {
		diags = append(diags, wrongf(e.Range(), summary, "%s, not %s.", detail, aType(t)))
	}
	return diags
}

// checkExport checks the names and the types of the export block.
func (p *Pipeline) checkExport(m *Molecule) (diags hcl.Diagnostics) {
	for _, e := range p.export {
		if !p.exports.HasAttribute(e.name) {
			diags = append(diags, wrongf(e.at, "Unknown attribute", "Nothing called %q is exported.%s",
				e.name, didYouMean(e.name, names(p.exports.AttributeTypes()))))
			continue
		}
		e.want = p.exports.AttributeType(e.name)
		_, d := m.check(e, nil)
		diags = append(diags, d...)
	}
	return diags
}
