package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"grimperium/internal/batch"
	"grimperium/internal/command"
	"grimperium/internal/packed"
	"grimperium/internal/pipeline"
	"grimperium/internal/web"
	"grimperium/stages"
)

// methods adds versions, settings, the text for a paper and the works to be cited.
func (g *gatherer) methods(d *web.Data) {
	ran := stages.Ran{Programs: map[string]string{}, Variables: map[string]string{},
		Keywords: g.keywords(d), ForceField: g.forcefield, SinglePoints: g.singles}
	for _, name := range slices.Sorted(maps.Keys(g.programs)) {
		ran.Programs[name] = g.addSetting(d, name, true)
	}
	for _, s := range batchSettings(g.Pipeline) {
		if _, given := g.Pipeline.Given[s[0]]; given {
			d.Settings = append(d.Settings, web.Setting{Name: s[0], Value: s[1],
				Note: g.Pipeline.Path})
		}
	}
	for _, v := range g.Pipeline.Variables {
		name := "var." + v.Name
		if g.variables[name] == nil { // no batch of the journal computed a row
			g.variables.add(name, v.Text(), 0)
			g.sources[name+"="+v.Text()] = strings.TrimPrefix(v.Source, "default")
		}
		ran.Variables[v.Name] = g.addSetting(d, name, false)
	}
	sentences, works := ran.Methods()
	d.Methods = sentences
	for _, w := range works {
		d.Works = append(d.Works, web.Work(w))
	}
}

// addSetting adds the values of a program or a variable with which the rows were computed. It
// leaves out a variable of which all rows have the default. It returns the most frequent value.
func (g *gatherer) addSetting(d *web.Data, name string, program bool) string {
	all, counted := g.variables, "molecule"
	if program {
		all, counted = g.programs, "result"
	}
	values := slices.Sorted(maps.Keys(all[name]))
	slices.SortStableFunc(values, func(a, b string) int { return all[name][b] - all[name][a] })
	for _, value := range values {
		note := g.sources[name+"="+value]
		if len(values) > 1 {
			note = strings.TrimPrefix(note+", ", ", ") + batch.Count(all[name][value], counted)
		}
		if program || note != "" {
			d.Settings = append(d.Settings,
				web.Setting{Name: name, Value: value, Note: note, Program: program})
		}
	}
	return values[0]
}

// keywords is the first line of the MOPAC input file beside the first geometry, "" for none. It
// also finds the method of that result.
func (g *gatherer) keywords(d *web.Data) string {
	row := slices.IndexFunc(d.Molecules, func(m web.Molecule) bool { return len(m.Conformers) > 0 })
	if row < 0 {
		return ""
	}
	e, _, _ := g.exportBlock(row) // nothing, where there is an error
	for _, c := range e.Conformers {
		if c.Geometry == nil {
			continue
		}
		if c.Method != nil {
			d.Method = *c.Method
		}
		dir := filepath.Dir(*c.Geometry)
		names, _ := packed.ReadDir(dir)
		for _, name := range names {
			if filepath.Ext(name) == ".mop" {
				text, _ := packed.ReadFile(filepath.Join(dir, name), mostNote)
				line, _, _ := strings.Cut(string(text), "\n")
				return strings.TrimSpace(line)
			}
		}
	}
	return ""
}

// addPictures adds drawings and geometries to the molecules that the report shows one by one.
func (g *gatherer) addPictures(ctx context.Context, d *web.Data) error {
	rows := web.Worst(d.Molecules)
	smiles := make([]string, len(rows))
	for k, i := range rows {
		smiles[k] = d.Molecules[i].SMILES
		d.Molecules[i].Geometries = g.geometries(i)
	}
	if len(rows) == 0 {
		return nil
	}
	drawings, err := askRDKit(ctx, g.Pipeline, stages.DrawScript, smiles)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		d.Undrawn = err.Error()
	}
	for k, svg := range drawings {
		if svg != nil {
			d.Molecules[rows[k]].Drawing = *svg
		}
	}
	return nil
}

// geometries are the conformers of a row; none if they can't be read.
func (pr *project) geometries(row int) (out []web.Geometry) {
	conformers, _, err := pr.conformers(row)
	if err != nil {
		return nil
	}
	for _, c := range conformers {
		bonds, err := stages.MolfileBonds(c.Molfile)
		if err != nil {
			return nil
		}
		geometry := web.Geometry{Symbols: c.Frame.Symbols, Result: c.HOF, Rank: c.Rank,
			Bonds: [][2]int{}}
		for _, x := range c.Frame.Coords {
			geometry.Coords = append(geometry.Coords, math.Round(x*1000)/1000)
		}
		for _, b := range bonds {
			geometry.Bonds = append(geometry.Bonds, b)
		}
		out = append(out, geometry)
	}
	return out
}

// askRDKit has a Python program of stages answer each of some texts, with the first python3 of the
// pipeline that has RDKit. An answer is nil where there is none.
func askRDKit(ctx context.Context, p *pipeline.Pipeline, script string, texts []string) (
	answers []*string, err error) {
	program := p.Programs["python3"]
	if program == nil {
		return nil, errors.New("the pipeline declares no python3, whose RDKit is needed")
	}
	in, err := json.Marshal(texts)
	if err != nil {
		return nil, err
	}
	for _, python := range program.Candidates {
		cmd := exec.CommandContext(ctx, python, "-c", script)
		cmd.Stdin = bytes.NewReader(in)
		text, err := cmd.Output()
		if err == nil && json.Unmarshal(text, &answers) == nil && len(answers) == len(texts) {
			return answers, nil
		}
	}
	return nil, cmp.Or(ctx.Err(), fmt.Errorf("no RDKit was found by %s; %s setup installs it",
		strings.Join(program.Candidates, " and "), command.Name))
}
