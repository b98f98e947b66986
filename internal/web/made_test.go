package web

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// hostile are texts that must be shown as they are.
var hostile = []string{
	`</script><script>document.title = "ran"</script>`,
	`<img src=x onerror="document.title='ran'">`,
	`"'><svg onload=document.title='ran'>`,
	`<!--<script>`,
	`{{.Script}} ${document.title='ran'} javascript:document.title='ran'`,
	"line\nbreak\ttab\u2028separator \x00\xff\u202Eevil",
}

// made returns the data of a table with so many rows, in the columns that a batch writes.
func made(rows int) *Data {
	random := rand.New(rand.NewPCG(5, 6))
	d := &Data{Title: "data/made.csv", Made: time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC),
		Method:    "PM7",
		Search:    "GFN2-xTB",
		Reference: "H298_cbs", Result: "most_stable_hof", Folders: "./artefacts/", Tolerance: 0.05,
		Stages: []Stage{{Name: "rdkit", Runs: "python3"},
			{Name: "search", Runs: "conformers", DependsOn: []string{"rdkit"}},
			{Name: "pm7", Runs: "mopac", DependsOn: []string{"rdkit", "search"}}}}
	charges := []*Class{{Kind: "charge", Name: "0", Place: 100},
		{Kind: "charge", Name: "+1", Place: 101}}
	elements := []*Class{{"element", "C", 306}, {"element", "N", 307}, {"element", "O", 308},
		{"element", "S", 316}}
	names := []string{"mol_id", "status", "reruns", "smiles", "multiplicity", "charge", "nheavy",
		"timestamp_added",
		"H298_cbs", "batch_id", "timestamp_started", "timestamp_completed", "crest_status",
		"crest_conformers_generated", "crest_time", "mopac_status", "mopac_time", "delta_1",
		"delta_2", "delta_3",
		"most_stable_hof", "error_message", "stereo_smiles"}
	text := map[string]bool{"mol_id": true, "status": true, "smiles": true, "timestamp_added": true,
		"batch_id": true, "timestamp_started": true, "timestamp_completed": true,
		"crest_status": true,
		"mopac_status": true, "error_message": true, "stereo_smiles": true}
	units := map[string]string{"H298_cbs": "kcal/mol", "most_stable_hof": "kcal/mol"}
	for _, name := range names {
		d.Columns = append(d.Columns, Column{Name: name, Unit: units[name], Number: !text[name],
			Cells: make([]string, rows)})
	}
	at := d.Made
	for i := range rows {
		m := Molecule{ID: fmt.Sprintf("mol_%06d", i+1), Status: "OK", Other: math.NaN(),
			SMILES: smilesOf(random)}
		m.Reference = math.Round(random.NormFloat64()*60000) / 1000
		m.Result = math.Round((m.Reference+random.NormFloat64()*4)*1e5) / 1e5
		charge := 0
		if random.IntN(20) == 0 {
			charge = 1
			m.Result += 8
		}
		m.Classes = []*Class{charges[charge], elements[0], elements[1+random.IntN(3)]}
		m.Size = 5 + random.IntN(20)
		m.Conformers = []float64{m.Result + math.Abs(random.NormFloat64())*float64(random.IntN(2)),
			m.Result, m.Result + 2}
		m.Targets = []Target{{"rdkit", 0.01, 0.01}, {"search", 1 + random.Float64(), 1},
			{"pm7", random.Float64() * 3, 1}}
		at = at.Add(time.Duration(random.IntN(4)) * time.Second)
		stamp := at.Format("2006-01-02T15:04:05+00:00")
		n := func(v float64) string { return fmt.Sprint(math.Round(v*1e5) / 1e5) }
		cells := []string{m.ID, "OK", "0", m.SMILES, "1", fmt.Sprint(charge), fmt.Sprint(m.Size),
			"2026-11-23T00:00:00+00:00",
			n(m.Reference), "20261128-094922-6949", stamp, stamp, "SUCCESS",
			fmt.Sprint(1 + random.IntN(40)),
			n(math.Round(random.Float64()*1000) / 100), "OK",
			n(math.Round(random.Float64()*1000) / 100),
			n(math.Abs(m.Conformers[0] - m.Reference)), n(math.Abs(m.Result - m.Reference)),
			n(random.Float64() * 9),
			n(m.Result), "", m.SMILES}
		if i%97 == 13 {
			m.Status, m.Result, m.Conformers = "Skip", math.NaN(), nil
			cells[1], cells[20] = "Skip", ""
			cells[21] = m.ID + "/pm7/1: the SCF did not converge (artefacts/" + m.ID +
				"/pm7.failed/1/pm7.out)"
		}
		for k := range cells {
			d.Columns[k].Cells[i] = cells[k]
		}
		d.Molecules = append(d.Molecules, m)
	}
	return d
}

// smilesOf makes a text that is as long and as various as a SMILES of ten to twenty atoms.
func smilesOf(random *rand.Rand) (s string) {
	parts := []string{"C", "CC", "C(=O)", "N", "O", "c1ccccc1", "C(C)", "C#N", "[C@H](C)", "S",
		"CO", "C(F)"}
	for range 4 + random.IntN(6) {
		s += parts[random.IntN(len(parts))]
	}
	return s
}

// evil returns data in which every text is hostile.
func evil() *Data {
	d := made(2 * len(hostile))
	long := ""
	for len(long) < 10_000 {
		long += `<b>"'&`
	}
	for i := range d.Molecules {
		h := hostile[i%len(hostile)]
		m := &d.Molecules[i]
		m.ID, m.SMILES = h, h+long
		if i%3 == 0 {
			m.Drawing = `<svg xmlns="http://www.w3.org/2000/svg"><script>top.document.title="ran"</script></svg>`
		}
		for k, name := range []string{"mol_id", "smiles", "status", "error_message"} {
			for c := range d.Columns {
				if d.Columns[c].Name == name && k != 2 {
					d.Columns[c].Cells[i] = h + long
				}
			}
		}
	}
	d.Molecules[0].Reference = math.NaN() // no outlier: the script shows its drawing
	d.Columns = append(d.Columns, Column{Name: hostile[0], Cells: make([]string, len(d.Molecules))})
	d.Columns[len(d.Columns)-1].Cells[0] = hostile[1]
	d.Title, d.Against, d.Undrawn = hostile[0], hostile[1], hostile[2]
	d.Failures = []Failure{{hostile[0], hostile[1], 3, hostile, hostile}}
	d.Stages = []Stage{{Name: hostile[0], Title: hostile[1], Runs: hostile[2]}}
	d.Settings = []Setting{{hostile[0], hostile[1], hostile[2], false},
		{"", hostile[3], hostile[4], true}}
	d.Methods = hostile
	d.Works = []Work{{hostile[0], `"onclick=document.title='ran'`}}
	return d
}
