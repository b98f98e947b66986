package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/magefile/mage/mg"
	"golang.org/x/text/unicode/norm"

	"grimperium/csvmerge"
	"grimperium/internal/batch"
	"grimperium/internal/command"
	"grimperium/internal/formats"
	"grimperium/internal/pipeline"
	"grimperium/internal/tables"
	"grimperium/stages"
)

// From names the columns of a file that is imported; "" for what is to be found. Charge may be
// "smiles". Reference has the reference enthalpies, in kcal/mol.
type From struct{ ID, SMILES, Charge, Multiplicity, Reference string }

// Import makes a table of any kind out of a file of another program, and checks it as Validate
// does. No row of the file is left out, and what was chosen is printed.
func Import(ctx context.Context, file, out string, from From, o Options) error {
	return run(ctx, func(ctx context.Context) error {
		if out == "" {
			return errors.New("-out=mine.csv must name the table that is to be made")
		}
		if err := refuseEnding(out, "csv", "sqlite"); err != nil {
			return err
		}
		if _, err := os.Lstat(out); err == nil {
			return fmt.Errorf("-out=%s: is there already; give another name, or remove it", out)
		}
		src, err := formats.Read(ctx, file)
		if err != nil {
			return err
		}
		o.Table, o.newTable = out, true
		p, err := load(o)
		if err != nil {
			return err
		}
		im := &importing{Table: src}
		err = im.readStructures(ctx, p)
		if err == nil {
			err = im.readHeader()
		}
		if err == nil {
			err = im.choose(from)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if err := im.create(out); err != nil {
			return err
		}
		notes := append([]string{batch.Count(len(im.Records), "row")}, im.Notes...)
		fmt.Fprintf(stderr, "%s: %s\n", file, strings.Join(notes, "\n  "))
		return checkImported(ctx, p, out)
	})
}

// create makes the table at a place of any kind.
func (im *importing) create(out string) error {
	var text bytes.Buffer
	err := csv.NewWriter(&text).WriteAll(im.records())
	if err != nil {
		return err
	}
	t, err := csvmerge.Parse(out, text.Bytes())
	if err != nil {
		return err
	}
	return tables.Create(out, t)
}

// checkImported lists what is wrong with the new table and what is odd, as validate does.
func checkImported(ctx context.Context, p *pipeline.Pipeline, out string) error {
	t, err := readTable(out)
	if err != nil {
		return err
	}
	fmt.Fprintf(stderr, "Written: %s\n", out)
	err = (&project{Config: batch.Config{Pipeline: p, Table: t}}).validate(ctx, "text", false)
	if err == nil || ctx.Err() != nil {
		return err
	}
	return mg.Fatalf(exitFailed, "%v; correct them, or leave them out with %s batch -table=%s "+
		"-permissive", err, command.Name, batch.Quoted(out))
}

// importing is a file on its way to a table.
type importing struct {
	*formats.Table
	drawn      bool           // column 0 has the SMILES of the structures
	id, smiles int            // columns; id is -1 if there is none
	known      map[string]int // other columns of the table's format, by their names there
}

func (im *importing) note(text string, args ...any) {
	im.Notes = append(im.Notes, fmt.Sprintf(text, args...))
}

// cell is the text of a cell, "" where the record is shorter.
func cell(r formats.Record, column int) string {
	if column < 0 || column >= len(r.Cells) {
		return ""
	}
	return strings.TrimSpace(r.Cells[column])
}

// readStructures adds the column smiles for molfiles, unless the data items have one.
func (im *importing) readStructures(ctx context.Context, p *pipeline.Pipeline) error {
	structures := func(r formats.Record) bool { return r.Structure != "" }
	if !slices.ContainsFunc(im.Records, structures) || im.find("smiles") >= 0 {
		return nil
	}
	var molfiles []string
	for _, r := range im.Records {
		molfiles = append(molfiles, r.Structure)
	}
	limit := time.Minute + time.Duration(len(molfiles))*100*time.Millisecond
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	answers, err := askRDKit(limited, p, stages.StructureScript, molfiles)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case limited.Err() != nil:
		return fmt.Errorf("RDKit took longer than %s for %s; split the file", limit,
			batch.Count(len(molfiles), "structure"))
	case err != nil:
		return fmt.Errorf("the structures need RDKit: %w", err)
	}
	im.Names, im.drawn = append([]string{"smiles"}, im.Names...), true
	spins := map[int]string{}
	for i, answer := range answers {
		smiles := ""
		if answer != nil {
			smiles, spins[i], _ = strings.Cut(*answer, " ")
		} else {
			im.note("line %d: RDKit can't read the structure; its SMILES is blank",
				im.Records[i].Line)
		}
		im.Records[i].Cells = append([]string{smiles}, im.Records[i].Cells...)
	}
	im.addMultiplicity(spins)
	return nil
}

// addMultiplicity adds a column for what the structures state, unless the data items have one.
func (im *importing) addMultiplicity(spins map[int]string) {
	maps.DeleteFunc(spins, func(_ int, spin string) bool { return spin == "" })
	if len(spins) == 0 || im.find("multiplicity") >= 0 {
		return
	}
	im.Names = slices.Insert(im.Names, 1, "multiplicity")
	for i := range im.Records {
		im.Records[i].Cells = slices.Insert(im.Records[i].Cells, 1, spins[i])
	}
	im.note("multiplicity of %s from the structures", batch.Count(len(spins), "triplet"))
}

// choose finds the columns.
func (im *importing) choose(from From) (err error) {
	how := "by -smiles"
	if from.SMILES != "" {
		im.smiles, err = im.columnOf("smiles", from.SMILES)
	} else if im.smiles, how = im.find(smilesNames...), "by its name"; im.smiles < 0 {
		im.smiles, how = im.smilesColumn(), "by its content"
	}
	if err == nil && im.smiles < 0 {
		err = fmt.Errorf("no column has SMILES; name it by -smiles=COLUMN; there are %s",
			strings.Join(im.Names, ", "))
	}
	if err != nil {
		return err
	}
	if im.drawn && im.smiles == 0 {
		im.note("smiles from the structures, by RDKit")
	} else {
		im.note("smiles from the column %s (%s)", im.Names[im.smiles], how)
	}
	if from.ID == "" {
		im.id = im.idColumn()
	} else if im.id, err = im.columnOf("id", from.ID); err != nil {
		return err
	}
	if im.known, err = im.knownColumns(from); err != nil {
		return err
	}
	im.plainNumbers()
	if err = im.decimalCommas(); err != nil {
		return err
	}
	return im.checkUnit()
}

// knownColumns are the columns of the table's format, but for mol_id and smiles. A status that
// another program wrote is not one of them.
func (im *importing) knownColumns(from From) (known map[string]int, err error) {
	known = map[string]int{}
	for _, name := range csvmerge.Known()[1:] { // all but mol_id
		known[name] = im.find(name)
	}
	if known["multiplicity"] < 0 {
		known["multiplicity"] = im.find("mult", "spin_multiplicity", "spin multiplicity")
	}
	if strings.EqualFold(from.Charge, "smiles") {
		known["charge"] = -1
	} else if from.Charge != "" {
		known["charge"], err = im.columnOf("charge", from.Charge)
	}
	if from.Multiplicity != "" && err == nil {
		known["multiplicity"], err = im.columnOf("multiplicity", from.Multiplicity)
	}
	if from.Reference != "" && err == nil {
		known["H298_cbs"], err = im.columnOf("reference", from.Reference)
	}
	isForeign := func(r formats.Record) bool {
		text := cell(r, known["status"])
		return text != "" && csvmerge.StatusType.Read(text).Value == nil
	}
	if at := slices.IndexFunc(im.Records, isForeign); at >= 0 {
		im.note("column %s is of another program, because %q is no status; its name becomes %[1]s"+
			"_source", im.Names[known["status"]], cell(im.Records[at], known["status"]))
		known["status"] = -1
	}
	maps.DeleteFunc(known, func(_ string, k int) bool {
		return k < 0 || k == im.id || k == im.smiles
	})
	im.noteOwn(known)
	return known, err
}

// noteOwn names the columns that a batch writes, or goes by, and that are taken by their names.
func (im *importing) noteOwn(known map[string]int) {
	var own []string
	for _, name := range csvmerge.Known() {
		if _, there := known[name]; there && name != "nheavy" && !slices.Contains(numbers, name) {
			own = append(own, name)
		}
	}
	if len(own) > 0 {
		im.note("taken as Grimperium's own columns: %s. If another program wrote one of them, "+
			"rename that column in the file first", strings.Join(own, ", "))
	}
}

// smilesColumn is the column of which most cells are SMILES, the longest ones if there are several.
func (im *importing) smilesColumn() int {
	best, longest := -1, 0
	for k := range im.Names {
		cells, smiles, length := 0, 0, 0
		for _, r := range im.Records[:min(len(im.Records), 1000)] {
			text, _, _ := strings.Cut(cell(r, k), " ")
			if text == "" {
				continue
			}
			cells++
			if isSMILES(text) {
				smiles, length = smiles+1, length+len(text)
			}
		}
		if smiles*10 > cells*8 && length > longest {
			best, longest = k, length
		}
	}
	return best
}

var decimal = regexp.MustCompile(`^[+-]?\d+[.,]\d+`)

// idColumn is the column whose cells are names of molecules as they stand. That is a column with a
// usual name for it, or else the first one. All cells of it must differ.
func (im *importing) idColumn() int {
	columns := []int{}
	for _, name := range idNames {
		columns = append(columns, im.find(name))
	}
	for _, k := range append(columns, 0) {
		if k < 0 || k == im.smiles {
			continue
		}
		seen := map[string]bool{}
		usable := func(r formats.Record) bool {
			text := cell(r, k)
			again := seen[strings.ToLower(text)]
			seen[strings.ToLower(text)] = true
			return !again && csvmerge.SafeID(text) == nil && !decimal.MatchString(text)
		}
		if !slices.ContainsFunc(im.Records, func(r formats.Record) bool { return !usable(r) }) {
			return k
		}
	}
	return -1
}

// ids are the mol_ids: those of the column, made unique and fit for a folder's name, or new ones.
func (im *importing) ids() (ids []string, same bool) {
	taken, changed := map[string]bool{}, []string{}
	for i, r := range im.Records {
		text := cell(r, im.id)
		id := folderName(text)
		if id == "" {
			id = fmt.Sprintf("mol_%0*d", max(5, len(strconv.Itoa(len(im.Records)))), i+1)
		}
		base := id
		for n := 2; taken[strings.ToLower(id)]; n++ {
			id = fmt.Sprintf("%s_%d", base, n)
		}
		taken[strings.ToLower(id)] = true
		ids = append(ids, id)
		if id != text {
			changed = append(changed, fmt.Sprintf("%q → %s", text, id))
		}
	}
	same = im.id >= 0 && len(changed) == 0
	switch {
	case im.id < 0:
		made := "mol_id made: " + ids[0]
		if last := len(ids) - 1; last > 0 {
			made += " to " + ids[last]
		}
		im.note("%s", made)
	case same:
		im.note("mol_id from the column %s", im.Names[im.id])
	default:
		im.note("mol_id from the column %s, which stays; %d were changed, because each must name "+
			"a folder of its own: %s", im.Names[im.id], len(changed),
			strings.Join(changed[:min(3, len(changed))], ", "))
	}
	return ids, same
}

// folderName is a text as the name of a folder, "" if nothing of it can be that.
func folderName(text string) string {
	text = norm.NFC.String(text)
	if csvmerge.SafeID(text) == nil && len(text) <= 90 {
		return text
	}
	text = strings.Map(func(r rune) rune {
		if csvmerge.SafeID("x"+string(r)+"x") != nil {
			return '_'
		}
		return r
	}, text)
	// A number may follow, and 100 bytes are the limit.
	text = strings.ToValidUTF8(text[:min(90, len(text))], "")
	text = strings.TrimRight(strings.TrimLeft(text, "-. "), ". ")
	if text != "" && csvmerge.SafeID(text) != nil {
		text = "mol_" + text
	}
	if csvmerge.SafeID(text) != nil {
		return ""
	}
	return text
}

// records are the lines of the table: our columns, then those of the file.
func (im *importing) records() [][]string {
	ids, same := im.ids()
	used := append(slices.Collect(maps.Values(im.known)), im.smiles)
	if same {
		used = append(used, im.id)
	}
	var header []string
	for k, name := range csvmerge.Known() {
		if _, there := im.known[name]; there || k < 10 { // those of format v2.0
			header = append(header, name)
		}
	}
	ours, rest := len(header), []int{}
	for k, name := range im.Names {
		if slices.Contains(used, k) {
			continue
		}
		isSame := func(h string) bool { return strings.EqualFold(h, name) }
		if slices.ContainsFunc(header[:ours], isSame) {
			name += "_source"
		}
		header, rest = append(header, formats.Unique(name, header)), append(rest, k)
	}
	out, now := [][]string{header}, time.Now().UTC().Format(csvmerge.TimeLayout)
	for i, r := range im.Records {
		row := fromSMILES(cell(r, im.smiles))
		row["mol_id"], row["smiles"] = ids[i], cell(r, im.smiles)
		row["reruns"], row["timestamp_added"], row["status"] = "0", now, "Pending"
		for name, k := range im.known {
			row[name] = cmp.Or(cell(r, k), row[name])
		}
		row["status"] = csvmerge.StatusType.Read(row["status"]).Value.(string)
		var record []string
		for _, name := range header[:ours] {
			record = append(record, row[name])
		}
		for _, k := range rest {
			record = append(record, cell(r, k))
		}
		out = append(out, record)
	}
	for _, o := range []struct{ name, without, hint string }{
		{"charge", "the SMILES", "; -charge=smiles takes those of the SMILES"},
		{"multiplicity", "the SMILES: 1, or 2 for an odd number of electrons. Name a column of " +
			"multiplicities by -multiplicity",
			"; where that is blank, 1, or 2 for an odd number of electrons"},
		{"H298_cbs", "no column: blank. Name the column with reference enthalpies by -reference",
			", in kcal/mol"}} {
		if k, there := im.known[o.name]; there {
			im.note("%s from the column %s%s", o.name, im.Names[k], o.hint)
		} else {
			im.note("%s from %s", o.name, o.without)
		}
	}
	return out
}

// fromSMILES are the cells of a row that follow from its SMILES; none if it can't be read here.
func fromSMILES(smiles string) map[string]string {
	smiles, _, _ = strings.Cut(smiles, " ")
	m, err := stages.ReadSMILES(smiles)
	if err != nil {
		return map[string]string{}
	}
	return map[string]string{"charge": strconv.Itoa(m.Charge()), "nheavy": strconv.Itoa(m.Heavy()),
		"multiplicity": strconv.Itoa(m.Multiplicity())}
}
