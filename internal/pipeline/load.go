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
)

// Bounds of what a file may ask for. All are far beyond any pipeline that a person writes.
const (
	maxFileSize     = 64 << 20  // bytes of every text that file() reads into an expression
	maxPipelineSize = 256 << 10 // bytes of pipeline.hcl, of a file of values and of a template
	maxDepth        = 100       // brackets that are open at one place: the parser recurses
	maxMistakes     = 50        // mistakes that are shown
	maxWatched      = 10        // attempts whose scripts are watched
	maxTargets      = 2000      // of a stage that at_least may ask for
)

// atLine is the place of a line.
func atLine(path string, line int) hcl.Range {
	pos := hcl.Pos{Line: line, Column: 1}
	return hcl.Range{Filename: path, Start: pos, End: pos}
}

// Load reads, checks and orders a pipeline. *Errors has every mistake of the file.
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
	p := &Pipeline{Path: path, Dir: filepath.Dir(abs), builtins: o.Builtins, inputs: o.Inputs,
		written: o.Written, Given: map[string]int{}, Programs: map[string]*Program{},
		locals: map[string]*expression{}, variables: map[string]*Variable{},
		stages: map[string]*Stage{}, versions: map[string]int{}, columns: map[string]column{},
		files: map[string]string{}, sources: map[string][]byte{}, texts: map[string]*hcl.File{},
		exports: cty.EmptyObject, watch: &watch{}}
	p.addFunctions(o.Functions)
	for path, data := range o.sources {
		p.files[path], p.sources[path] = hashOf(data), data
	}
	if o.Export != nil {
		p.exports = impliedType(o.Export)
	}
	p.src = plainText(src)
	if d := p.watch.over(func() { p.load(o) }); d != nil {
		return nil, &Errors{path, p.texts, hcl.Diagnostics{d}}
	}
	if p.mistakes.HasErrors() {
		return nil, &Errors{path, p.texts, tidy(soften(p.mistakes))}
	}
	p.watch, p.typed = nil, nil
	return p, nil
}

// plainText is a text without a byte order mark and with LF alone at the ends of lines. An editor
// that changes these must not change a result.
func plainText(src []byte) []byte {
	return bytes.ReplaceAll(bytes.TrimPrefix(src, []byte("\ufeff")), []byte("\r\n"), []byte("\n"))
}

// withoutCR is a text with LF alone at the ends of lines, and other data as they are.
func withoutCR(data []byte) []byte {
	if !utf8.Valid(data) || bytes.Contains(data, []byte{0}) {
		return data
	}
	return bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
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

// Format formats the text of a pipeline in the usual way. It changes white space alone. *Errors has
// every mistake of the syntax.
func Format(path string, src []byte) ([]byte, error) {
	p := &Pipeline{Path: path, texts: map[string]*hcl.File{}}
	if p.parse(path, plainText(src)) == nil {
		return nil, &Errors{path, p.texts, p.mistakes}
	}
	return hclwrite.Format(src), nil
}

func (p *Pipeline) load(o Options) {
	file := p.parse(p.Path, p.src)
	if file == nil {
		return // what follows from a syntax error is not the user's mistake
	}
	body := file.Body.(*hclsyntax.Body)
	p.instrument(body)
	visit(body, p.eachOnce)
	p.decode(body)
	p.setVariables(o)
	if len(p.stages) == 0 && !p.mistakes.HasErrors() {
		p.wrong(atLine(p.Path, 1), "Pipeline without stages", "The file declares no stage, so "+
			"there is nothing to run. A stage is a block: stage \"name\" { command = [...] }.")
	}
	if _, given := p.Given["artefacts"]; o.Table != "" && o.Table != p.Table && !given {
		p.Artefacts = p.artefactsOf(o.Table)
	}
	if cty.NormalizeString(p.Artefacts) != p.Artefacts { // no text of HCL could name a file in it
		p.wrong(atLine(p.Path, 1), "Unsuitable folder", "In %s an accent is a character of its "+
			"own. Rename the folder, with a letter that has the accent.", p.Artefacts)
	}
	p.Table = cmp.Or(o.Table, p.Table)
	p.MaxReruns, p.Jobs = *cmp.Or(o.Reruns, &p.MaxReruns), *cmp.Or(o.Jobs, &p.Jobs)
	p.readColumns(o)
	p.check()
}

// artefactsOf is the artefacts folder of a table that is not the pipeline's, by the TablePath. The
// folder is beside the table. That of a table on a server is in the pipeline's folder.
func (p *Pipeline) artefactsOf(table string) string {
	if server, err := url.Parse(table); err == nil && strings.Contains(table, "://") {
		name := cmp.Or(server.Query().Get("table"), path.Base(server.Path))
		table = p.rooted(filepath.Base(name))
	}
	return strings.TrimSuffix(table, ".csv") + ".artefacts"
}

// readColumns takes the table's columns, and those that the file declares.
func (p *Pipeline) readColumns(o Options) {
	if o.Columns == nil {
		p.anyColumn = true
		return
	}
	columns, err := o.Columns(p.Table)
	if p.anyColumn = err != nil; p.anyColumn {
		return
	}
	var known []string
	for _, c := range columns {
		if known = append(known, c.Name); !p.columns[c.Name].declared {
			typ := cty.String
			if c.Number {
				typ = cty.Number
			}
			p.columns[c.Name] = column{typ: typ}
		}
	}
	for _, b := range p.declared {
		if name := b.Labels[0]; !slices.Contains(known, name) {
			p.unknown(b.DefRange, "column", name, known)
		}
	}
}

// check finds every mistake that can be found without a molecule: unknown names first, then cycles,
// then wrong types. For the types it evaluates everything once, with the molecule's cells and all
// results unknown.
func (p *Pipeline) check() {
	vars := map[string]cty.Value{}
	for _, v := range p.Variables {
		vars[v.Name] = v.value
	}
	p.vars = cty.ObjectVal(vars)
	p.link()
	p.checkVariables()
	m := p.unknownMolecule()
	for _, s := range p.Stages {
		if s.outputs != nil {
			_, ok := m.check(s.outputs, nil)
			s.vague = !ok
		}
	}
	p.order()
	p.turnOff()
	off := p.unknownMolecule() // of what is off together, one thing may use another
	p.typed = off
	for _, s := range p.Stages {
		know(s, m, off)
	}
	for _, s := range p.Stages {
		of := m
		if s.off {
			of = off
		}
		p.checkStage(s, of)
		know(s, m, off)
	}
	alone := slices.Concat(p.ofMolecule, p.export)
	for _, name := range names(p.locals) {
		alone = append(alone, p.locals[name])
	}
	for _, e := range alone {
		m.check(e, nil)
	}
	if p.SmallestFirst && p.size == nil {
		p.wrong(atLine(p.Path, p.Given["order"]), "Order without sizes", `"smallest_first" needs `+
			`the molecule block's size, as molecule { size = [heavy_atoms(mol.smiles)] }.`)
	}
	p.checkMerge(m)
	p.Checked, p.Columns = p.usedColumns()
	if p.mistakes.HasErrors() {
		return
	}
	p.absent = map[string]cty.Value{}
	for _, s := range p.Stages {
		s.none, s.recipe, p.absent[s.Name] = s.absentTarget(), p.newRecipe(s), s.absent()
	}
	p.Key = p.key()
}

// order sorts the stages by their references, else they stay in the file's order.
func (p *Pipeline) order() {
	var all []string
	for _, s := range p.Stages {
		for _, e := range s.expressions {
			if s.DependsOn = append(s.DependsOn, e.stages...); e == s.each || e == s.enabled {
				s.Decides = append(s.Decides, e.stages...)
			}
		}
		s.DependsOn = slices.DeleteFunc(sorted(s.DependsOn), func(name string) bool {
			return p.stages[name] == nil || name == s.Name
		})
		all = append(all, s.Name)
	}
	order := p.sortGraph("stage", all, func(name string) ([]string, hcl.Range) {
		return p.stages[name].DependsOn, p.stages[name].rng
	})
	for i, name := range order {
		p.Stages[i] = p.stages[name]
	}
}

// usedColumns are the columns that decide whether a row can be used, and all that are read.
func (p *Pipeline) usedColumns() (checked, all []string) {
	for _, b := range p.declared {
		checked = append(checked, b.Labels[0])
	}
	for _, e := range p.ofMolecule {
		checked = append(checked, e.columns...)
	}
	all = slices.Clone(checked)
	for _, e := range p.expressions() {
		all = append(all, e.columns...)
	}
	return sorted(checked), sorted(all)
}

// turnOff finds the stages that are off for every molecule, as by var.search == "crest" &&
// stage.rdkit.nrotors > 0 with another search. What a stage names stands before it.
func (p *Pipeline) turnOff() {
	m := p.unknownMolecule()
	for _, s := range p.Stages {
		m.setStage(s.Name, cty.DynamicVal)
	}
	for _, s := range p.Stages {
		if s.enabled == nil || !p.references(s.enabled) {
			continue
		}
		v, diags := m.evaluate(s.enabled, nil)
		if on, ok := as[bool](v); !diags.HasErrors() && v.Type() == cty.Bool && ok && !on {
			s.off = true
			m.setStage(s.Name, s.absent())
		}
	}
}

// checkMerge checks the types of cells and of what is displayed. It also finds columns that the
// merge block writes and other expressions read. The molecule would be stale after its own result.
func (p *Pipeline) checkMerge(m *Molecule) {
	readers := slices.Concat(p.ofMolecule, p.merge)
	for _, s := range p.Stages {
		readers = append(readers, s.expressions...)
	}
	for _, e := range readers {
		if i := slices.IndexFunc(e.columns, p.isWritten); i >= 0 {
			p.wrong(e.Range(), "Column of the batch", "The batch writes mol.%s itself with each "+
				"result: it would ask for another.", e.columns[i])
		}
	}
	for _, cell := range p.merge {
		for name := range p.columns {
			if strings.EqualFold(name, cell.name) && name != cell.name {
				p.wrong(cell.at, "Column in other letters", "The table has the column %q. Write "+
					"that, or a name that differs by more than the letter case.", name)
			}
		}
		reads := func(e *expression) bool { return slices.Contains(e.columns, cell.name) }
		if i := slices.IndexFunc(readers, reads); i >= 0 {
			p.wrong(cell.at, "Column is read and merged", "Line %d reads mol.%s, and the merge "+
				"block writes it: each result would ask for another. Rename the cell.",
				readers[i].at.Start.Line, cell.name)
		}
		v := p.checkText(m, cell, "A cell of the table holds a text or a number")
		if p.columnType(cell.name) == cty.Number && neverNumber(cell, v) {
			p.wrong(cell.Range(), "Unsuitable cell", "The cells of the column %q are numbers, not "+
				"%s.", cell.name, shownValue(v))
		}
	}
	for _, e := range p.display {
		p.checkText(m, e, "The display shows texts and numbers")
	}
}

func (p *Pipeline) isWritten(column string) bool { return slices.Contains(p.written, column) }

func (p *Pipeline) checkText(m *Molecule, e *expression, form string) cty.Value {
	v, _ := m.check(e, nil)
	if t := v.Type(); t != cty.DynamicPseudoType && !t.IsPrimitiveType() {
		p.wrong(e.Range(), "Unsuitable cell", "%s, not %s.", form, aType(t))
	}
	return v
}

// neverNumber reports whether a cell is a text for every molecule: a constant, or a status.
func neverNumber(e *expression, v cty.Value) bool {
	call, ok := e.Expression.(*hclsyntax.FunctionCallExpr)
	if ok && call.Name == "status" || v.Type() == cty.Bool {
		return true
	}
	_, number := as[float64](v)
	text, known := as[string](v)
	return v.Type() == cty.String && known && strings.TrimSpace(text) != "" && !number
}
