package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func text(t *testing.T, d *Data) string {
	t.Helper()
	var b bytes.Buffer
	if err := WritePage(&b, d, Compute(d)); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestPage(t *testing.T) {
	page := text(t, made(300))
	for _, want := range []string{"297 of 300 molecules have a result", "<h2>How good</h2>",
		"<h2>Outliers</h2>", "<h2>Conformers</h2>", "<h2>Failures</h2>", "<h2>Cost</h2>",
		"<h2>All molecules</h2>", "<h2>Methods</h2>", "Content-Security-Policy"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, address := range regexp.MustCompile(`(?:src|href)="([^"]*)"`).FindAllStringSubmatch(page,
		-1) {
		if !regexp.MustCompile(`^(#|\./|data:image/svg|https://doi\.org/)`).MatchString(
			address[1]) {
			t.Errorf("the page refers to %q", address[1])
		}
	}
}

// TestHostile looks for foreign texts outside of the places where they are escaped.
func TestHostile(t *testing.T) {
	page := text(t, evil())
	for _, h := range []string{"<img src=x", "<svg onload", "<b>\"",
		`document.title = "ran"</script>`} {
		if strings.Contains(page, h) {
			t.Errorf("the page has %q as it is", h)
		}
	}
	if n := strings.Count(page, "<script"); n != 2 {
		t.Errorf("the page has %d script elements", n)
	}
	if len(page) > 2_000_000 {
		t.Errorf("the page has %d bytes", len(page))
	}
}

// TestLibraries holds the libraries to what npm gave: smiles-drawer 2.4.1, uplot 1.6.32 and
// 3dmol 2.5.5. A page has the licence of each library in it, and 3Dmol if there are conformers.
func TestLibraries(t *testing.T) {
	for name, want := range map[string]string{
		"smilesdrawer/smiles-drawer.min.js": "6b0397cd52a708eeafb995f191d6d972449377e5603ae603cb210f537666fddc",
		"uplot/uPlot.iife.min.js":           "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
		"uplot/uPlot.min.css":               "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
		"3dmol/3Dmol-min.js":                "f7cc78921ae72e7623e89cdd111434f58c2efddd2ffda1cd212644b406fb8016",
	} {
		library, err := files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%x", sha256.Sum256(library)); got != want {
			t.Errorf("%s has the SHA-256 %s, want %s", name, got, want)
		}
	}
	d := made(3)
	for range 2 {
		page, space := text(t, d), d.Molecules[0].Geometries != nil
		for licence, want := range map[string]bool{
			"Copyright (c) 2017 GDB / Reymond Research Group": true,
			"Copyright (c) 2022 Leon Sorokin":                 true,
			"Copyright (c) 2014, University of Pittsburgh":    space} {
			if strings.Contains(page, licence) != want {
				t.Errorf("conformers: %v, %q: %v", space, licence, !want)
			}
		}
		d.Molecules[0].Geometries = []Geometry{{Symbols: []string{"H"}, Coords: []float64{0, 0, 0}}}
	}
}

// A molecule alone has no interval.
func TestOneMolecule(t *testing.T) {
	good, _, _ := strings.Cut(text(t, made(1)), `<section id="outliers">`)
	_, figures, _ := strings.Cut(good, `<dl class="figures">`)
	for _, gone := range []string{" to ", "Small:"} {
		if strings.Contains(figures, gone) {
			t.Errorf("%q is on the page of one molecule", gone)
		}
	}
}

func TestEmpty(t *testing.T) {
	d := &Data{Title: "data/none.csv", Method: "PM7", Reference: "H298_cbs",
		Result: "most_stable_hof"}
	const none = "No molecule has both a result and a reference"
	if page := text(t, d); !strings.Contains(page, none) {
		t.Error("the page of an empty table")
	}
	if _, err := json.Marshal(Compute(d)); err != nil {
		t.Error(err)
	}
	d = made(3)
	for i := range d.Molecules {
		d.Molecules[i].Reference = math.NaN()
	}
	n := Compute(d)
	if n.Sentence != "3 of 3 molecules have a result; none has a reference beside it." ||
		Deviations(d.Molecules, "a", "b") != nil {
		t.Errorf("%q", n.Sentence)
	}
}

func TestClasses(t *testing.T) {
	n := Compute(made(4000))
	var worse []string
	for _, c := range n.Classes {
		if c.Worse {
			worse = append(worse, c.Kind+" "+c.Name)
		}
	}
	if strings.Join(worse, ", ") != "charge +1" {
		t.Errorf("worse than the rest: %q", worse)
	}
	if len(n.Outliers) != MostOutliers || n.Outliers[0].Deviation == 0 {
		t.Errorf("%d outliers", len(n.Outliers))
	}
	for i := 1; i < len(n.Outliers); i++ {
		if math.Abs(n.Outliers[i].Deviation) > math.Abs(n.Outliers[i-1].Deviation) {
			t.Error("the outliers are not in order")
		}
	}
}

func TestZips(t *testing.T) {
	var molecules []Molecule
	for _, mark := range "..ZZZ.Z" {
		molecules = append(molecules, Molecule{Zip: mark == 'Z'})
	}
	if got := fmt.Sprint(zips(molecules), zips(molecules[:2])); got != "[[2 4] [6 6]] []" {
		t.Error(got)
	}
}

func TestConformers(t *testing.T) {
	nan := math.NaN()
	molecules := []Molecule{
		{Result: -5, Reference: -4, Conformers: []float64{-5}},
		{Result: -5, Reference: -4, Conformers: []float64{-3, nan, -5}},
		{Result: -5, Reference: nan, Conformers: []float64{-4.98, -5, -1}}, // the same within 0.05
		{Result: nan, Conformers: []float64{-1, -2}},
		{Result: -5, Reference: -4, Conformers: []float64{nan, -5}}, // the first has no result
	}
	c := conformers(molecules, 0.05)
	if c.Molecules != 4 || c.Several != 2 || c.Compared != 3 || c.Differ != 1 || c.DifferMax != 2 ||
		c.SpreadMax != 4 || c.First.N != 2 || c.First.MAE.Value != 1 || c.Lowest.Mean.Value != -1 {
		t.Errorf("%+v", c)
	}
}

func TestCompare(t *testing.T) {
	d := &Data{Against: "other.csv", Tolerance: 0.05, Molecules: []Molecule{
		{ID: "a", Result: 1, Other: 1.01, Reference: 0},
		{ID: "b", Result: 2, Other: 5, Reference: 0},
		{ID: "c", Result: 3, Other: math.NaN()}, {ID: "d", Result: math.NaN(), Other: 1}}}
	c := compare(d)
	if c.Common != 2 || c.Changed != 1 || c.OnlyOwn != 1 || c.OnlyOther != 1 || c.Max != 3 ||
		c.Rows[0].ID != "b" || !near(c.Mean, -1.505) || !near(c.Own.MAE.Value, 1.5) ||
		!near(c.Other.MAE.Value, 3.005) {
		t.Errorf("%+v", c)
	}
	none := made(3)
	none.Against, none.OtherMolecules = "other.csv", 2
	page := text(t, none)
	for want, has := range map[string]bool{"No molecule has a result in both tables.": true,
		"2 have another SMILES, charge or multiplicity": true, "This table less the other": false} {
		if strings.Contains(page, want) != has {
			t.Errorf("%q is on the page: %v", want, !has)
		}
	}
}

func TestCost(t *testing.T) {
	d := &Data{Stages: []Stage{{Name: "a"}, {Name: "b"}},
		Molecules: []Molecule{
			{ID: "x", Size: 2, Targets: []Target{{"a", 1, 0.5}, {"b", 3, 3}, {"b", 5, 4}}},
			{ID: "y", Size: 40, Targets: []Target{{"a", 3600, 3600}}}},
		Batch: Batch{ID: "1", Jobs: 2, Seconds: 120, Rows: 2,
			Spans: []Span{{0, 60, 1}, {30, 90, 2}, {119.5, 120, 1}}}}
	c := cost(d)
	if a, b := c.Stages[0], c.Stages[1]; a.Runs != 2 || b.Runs != 2 || b.Median != 4 ||
		b.Seconds != 8 || a.Max != 3600 {
		t.Errorf("%+v", c.Stages)
	}
	if len(c.Sizes) != 2 || c.Sizes[0].Seconds != 9 || c.Sizes[1].From != 40 ||
		c.Longest[0].ID != "y" || c.Longest[1].Stage != "b" {
		t.Errorf("%+v %+v", c.Sizes, c.Longest)
	}
	b := c.Batch
	for step, want := range map[int]float64{0: 1, 45: 3, 75: 2, 100: 0, 119: 0.5} {
		if !near(b.Cores[step], want) {
			t.Errorf("step %d: %v cores, want %v", step, b.Cores[step], want)
		}
	}
	if b.PerHour != 60 {
		t.Errorf("%v molecules an hour", b.PerHour)
	}
}

// TestPack reads a column as the page does.
func TestPack(t *testing.T) {
	for _, c := range []Column{
		{"n", "kcal/mol", true, []string{"1.50", "", "-3", " 7 ", "+4", "1e400"}},
		{"t", "", false, []string{"a", "b", "a", "\xff", strings.Repeat("ä", 400), ""}},
	} {
		p, err := packColumn(c)
		if err != nil {
			t.Fatal(err)
		}
		z, err := gzip.NewReader(bytes.NewReader(p.Data))
		if err != nil {
			t.Fatal(err)
		}
		var list []any
		if err := json.NewDecoder(z).Decode(&list); err != nil || len(list) != len(c.Cells) {
			t.Fatal(list, err)
		}
		if c.Number && (list[0] != 1.5 || list[1] != nil || list[3] != 7.0 || list[4] != 4.0 ||
			list[5] != nil) {
			t.Errorf("%v", list)
		}
		if !c.Number && (p.Words[int(list[2].(float64))] != "a" || p.Words[2] != "\uFFFD" ||
			len(p.Words[3]) != 603) {
			t.Errorf("%v %q", list, p.Words)
		}
	}
}

// TestContrast holds the colours to WCAG 2.1: 4.5 between a text and what is behind it, 3 for parts
// of a drawing. The statuses lie between lines of the colour behind them.
func TestContrast(t *testing.T) {
	css, err := files.ReadFile("page.css")
	if err != nil {
		t.Fatal(err)
	}
	colors := map[string]string{}
	roots := regexp.MustCompile(`:root \{([^}]*)\}`).FindAllSubmatch(css, -1)
	if len(roots) != 3 {
		t.Fatalf("%d sets of colours, want those of light, dark and print", len(roots))
	}
	light := map[string]string{}
	for i, root := range roots {
		for _, c := range regexp.MustCompile(`--([\w-]+): (#\w+)`).FindAllSubmatch(root[1], -1) {
			colors[string(c[1])] = string(c[2])
		}
		if i == 0 {
			maps.Copy(light, colors)
		}
		for least, names := range map[float64]string{4.5: "fore soft accent warn",
			3: "point warn ok rerun skip open"} {
			for name := range strings.FieldsSeq(names) {
				for _, back := range []string{"back", "card", "warn-back"} {
					got := contrast(colors[name], colors[back])
					if back == "warn-back" && strings.Contains("ok rerun skip open", name) {
						continue // no status stands there
					}
					if got < least {
						t.Errorf("set %d: %s on %s: %.2f, want %v", i, name, back, got, least)
					}
				}
			}
		}
		maps.Copy(colors, light) // print has no dark ones
	}
}

// contrast is that of two colours as #rgb or #rrggbb, by WCAG 2.1.
func contrast(a, b string) float64 {
	luminance := func(color string) (sum float64) {
		digits := (len(color) - 1) / 3
		for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
			part := strings.Repeat(color[1+i*digits:1+(i+1)*digits], 3-digits)
			n, _ := strconv.ParseUint(part, 16, 8)
			c := float64(n) / 255
			if c <= 0.03928 {
				c /= 12.92
			} else {
				c = math.Pow((c+0.055)/1.055, 2.4)
			}
			sum += weight * c
		}
		return sum
	}
	x, y := luminance(a), luminance(b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

// TestSize keeps the page of a large table below 8 MB.
func TestSize(t *testing.T) {
	if testing.Short() {
		t.Skip("makes 100,000 rows")
	}
	page := text(t, made(100_000))
	t.Logf("%d bytes", len(page))
	if len(page) > 8_000_000 {
		t.Errorf("the page has %d bytes", len(page))
	}
	if strings.Contains(page, "These columns have no room") {
		t.Error("columns of a usual table have no room")
	}
}
