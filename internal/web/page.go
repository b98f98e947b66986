package web

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"math"
	"net/url"
	"slices"
	"strings"

	"grimperium/internal/packed"
)

//go:embed page.html page.css js live live.html smilesdrawer uplot 3dmol
var files embed.FS

// styles and scripts are the parts of the style and of the script of a page, in their order. The
// scripts are for plots and structures from SMILES, and the project's own. spaceScripts show
// conformers in space. The licence of a library must be in each copy.
var (
	styles  = []string{"uplot/LICENSE", "uplot/uPlot.min.css", "page.css"}
	scripts = []string{"uplot/LICENSE", "uplot/uPlot.iife.min.js",
		"smilesdrawer/LICENSE", "smilesdrawer/smiles-drawer.min.js",
		"js/data.js", "js/plot.js", "js/space.js", "js/molecule.js", "js/table.js", "js/main.js"}
	spaceScripts = []string{"3dmol/LICENSE", "3dmol/LICENSE.iobuffer", "3dmol/LICENSE.netcdfjs",
		"3dmol/LICENSE.pako", "3dmol/LICENSE.upng-js", "3dmol/3Dmol-min.js"}
)

// page is what the template gets.
type page struct {
	*Numbers
	Data      *Data
	Policy    string
	Style     template.CSS
	Script    template.JS
	Table     template.JS // JSON; encoding/json escapes < and >
	Left      []string    // columns that have no room
	Bar       []Bar
	Histogram *Chart
	Number    *Chart // of conformers
	Rank      *Chart
	Cores     *Chart
	Kinds     []kind
	Graph     *Graph
	// LargestMAE is that of the class with the longest bar.
	LargestMAE float64
}

// kind is the classes of one kind.
type kind struct {
	Name string
	Rows []ClassRow
}

// WritePage writes the report as one HTML page.
func WritePage(w io.Writer, d *Data, n *Numbers) error {
	p := page{Numbers: n, Data: d}
	if err := p.embed(); err != nil {
		return err
	}
	if err := p.addTable(); err != nil {
		return err
	}
	signed := deviations(d.Molecules)
	slices.Sort(signed)
	p.Bar = statusBar(n.Statuses, n.Molecules)
	p.Histogram = histogram(signed)
	p.Number = countChart(n.Conformers.Number, "number of conformers")
	p.Rank = countChart(n.Conformers.Rank, "place of the lowest in the order of "+n.Search)
	p.Cores = coresChart(n.Cost.Batch)
	p.Graph = drawGraph(d.Stages)
	for _, row := range n.Classes {
		if last := len(p.Kinds) - 1; last < 0 || p.Kinds[last].Name != row.Kind {
			p.Kinds = append(p.Kinds, kind{Name: row.Kind})
		}
		last := &p.Kinds[len(p.Kinds)-1]
		last.Rows = append(last.Rows, row)
		p.LargestMAE = max(p.LargestMAE, row.Deviation.MAE.Value)
	}
	t, err := template.New("page.html").Funcs(functions(d)).ParseFS(files, "page.html")
	if err != nil {
		return err
	}
	return t.Execute(w, p)
}

// embed puts style and script into the page, and their hashes into its policy.
func (p *page) embed() error {
	names := scripts
	if slices.ContainsFunc(p.Data.Molecules, func(m Molecule) bool { return m.Geometries != nil }) {
		names = slices.Concat(spaceScripts, scripts)
	}
	style, styleErr := joined(styles)
	script, scriptErr := joined(names)
	script = "\"use strict\";\n" + script
	p.Style, p.Script = template.CSS(style), template.JS(script)
	hash := func(text string) string {
		sum := sha256.Sum256([]byte(text))
		return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	// SmilesDrawer gives style attributes to what it draws.
	p.Policy = fmt.Sprintf("default-src 'none'; script-src %s; style-src %s; img-src data:; "+
		"style-src-attr 'unsafe-inline'; form-action 'none'; base-uri 'none'",
		hash(script), hash(style))
	return errors.Join(styleErr, scriptErr)
}

// joined is the text of several files. A licence becomes a comment.
func joined(names []string) (string, error) {
	var all strings.Builder
	for _, name := range names {
		text, err := files.ReadFile(name)
		if err != nil {
			return "", err
		}
		if strings.Contains(name, "LICENSE") {
			text = fmt.Appendf(nil, "/*! %s\n%s*/", name, text)
		}
		all.Write(append(text, '\n'))
	}
	return all.String(), nil
}

// addTable packs the table for the script.
func (p *page) addTable() error {
	columns, left, err := pack(p.Data)
	if err != nil {
		return err
	}
	t := table{Rows: len(p.Data.Molecules), Method: p.Data.Method, Columns: columns,
		Folders: p.Data.Folders, Zips: zips(p.Data.Molecules), Geometry: map[int][]Geometry{},
		Keys: p.Data.keys()}
	for i := range p.Data.Molecules {
		if g := p.Data.Molecules[i].Geometries; len(g) > 0 {
			t.Geometry[i] = g
		}
	}
	if p.Against != nil {
		other := Column{Name: otherColumn, Unit: "kcal/mol", Number: true}
		for i := range p.Data.Molecules {
			cell := ""
			if v := p.Data.Molecules[i].Other; !math.IsNaN(v) {
				cell = fmt.Sprint(v)
			}
			other.Cells = append(other.Cells, cell)
		}
		packedOther, err := packColumn(other)
		if err != nil {
			return err
		}
		t.Columns, t.Keys["other"] = append(t.Columns, packedOther), otherColumn
	}
	text, err := json.Marshal(t)
	p.Table, p.Left = template.JS(text), left
	return err
}

// otherColumn is the name of the column with the results of the other table.
const otherColumn = "result of the other table"

// functions are what the template calls.
func functions(d *Data) template.FuncMap {
	return template.FuncMap{
		"names":   func(names ...string) []string { return names },
		"grouped": grouped, "molecules": molecules,
		"signed": func(v float64) string { return minus(fmt.Sprintf("%+.2f", cents(v))) },
		"two":    func(v float64) string { return minus(fmt.Sprintf("%.2f", cents(v))) },
		"percent": func(part, whole int) string {
			return fmt.Sprintf("%.1f %%", 100*ratio(part, whole))
		},
		"share":   func(v float64) string { return fmt.Sprintf("%.1f %%", 100*v) },
		"seconds": seconds,
		"whole":   func(v float64) string { return grouped(int(math.Round(v))) },
		"hours":   func(h float64) string { return seconds(3600 * h) },
		"folder": func(m Molecule) string {
			if d.Folders == "" {
				return ""
			}
			end := map[bool]string{true: packed.ZipSuffix, false: "/"}[m.Zip]
			return d.Folders + url.PathEscape(m.ID) + end
		},
		"picture": func(svg string) template.URL { // as an image no script of it runs
			return template.URL("data:image/svg+xml;base64," +
				base64.StdEncoding.EncodeToString([]byte(svg)))
		},
		"width": func(v, most float64) float64 {
			if most <= 0 {
				return 0
			}
			return 100 * min(1, v/most)
		},
		"add":    func(a, b float64) float64 { return a + b },
		"status": statusClass, "mostRunes": func() int { return mostRunes },
	}
}

func ratio(part, whole int) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
}

// cents rounds to two decimals, never to -0.
func cents(v float64) float64 { return math.Round(v*100)/100 + 0 }

func minus(text string) string { return strings.Replace(text, "-", "\u2212", 1) }

// seconds is a time for a person.
func seconds(s float64) string {
	switch {
	case s < 0.0001:
		return "< 0.1 ms"
	case s < 0.01:
		return fmt.Sprintf("%.1f ms", 1000*s)
	case s < 10:
		return fmt.Sprintf("%.2f s", s)
	case s < 120:
		return fmt.Sprintf("%.0f s", s)
	case s < 7200:
		return fmt.Sprintf("%.0f min", s/60)
	}
	return fmt.Sprintf("%.1f h", s/3600)
}
