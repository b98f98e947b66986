package cli

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"strings"

	"grimperium/csvmerge"
	"grimperium/internal/packed"
	"grimperium/internal/store"
	"grimperium/stages"
)

// What an export takes from the shipped pipeline: the stages and their outputs and values by these
// names. A pipeline that names them otherwise exports no conformers until it has stages of these
// names.
const (
	moleculeStage, moleculeOutput, propertiesOutput = "rdkit", "molfile", "properties"   // the bonds; the InChIKeys
	ensembleStage, mergedStage, ensembleOutput      = "search", "conformers", "ensemble" // the energies, in the order of the conformers
	isomerStage                                     = "isomer"                           // its value smiles: the stereoisomer of the conformers
	geometryStage, geometryOutput                   = "pm7", "aux"                       // one target a conformer
	lowestStage, minimumStage                       = "lowest", "minimum"                // which conformer the lowest is; its second optimisation
	finalStage                                      = "final"                            // its value hof: one of each conformer
)

// exportConformers writes a record for each PM7 conformer of the molecules whose status is OK, the
// most stable by GFN2-xTB first. merged says whether the pipeline has the conformers of two
// searches.
func exportConformers(w *bufio.Writer, about io.Writer, table string, st *store.Store, format string, merged bool) error {
	s, err := csvmerge.OpenStream(table)
	if err != nil {
		return err
	}
	defer s.Close()
	records, without := 0, 0
	for {
		ok, err := s.Next()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		if s.Cell("status").Value(csvmerge.StatusType) != csvmerge.OK.String() {
			without++
			continue
		}
		id, _ := s.Cell("mol_id").Value(csvmerge.Text).(string)
		if err := csvmerge.SafeID(id); err != nil {
			return fmt.Errorf("%s: %q: %w", table, id, err)
		}
		n, err := exportMolecule(w, s, st, id, format, merged)
		if err != nil {
			return err
		}
		if records += n; n == 0 {
			without++
			fmt.Fprintf(about, "Warning: %s has the status OK, but no result in %s; mage batch computes it again.\n", id, st.Root())
		}
	}
	fmt.Fprintf(about, "%d conformers written; %d molecules have none.\n", records, without)
	return nil
}

func exportMolecule(w *bufio.Writer, s *csvmerge.Stream, st *store.Store, id, format string, merged bool) (n int, err error) {
	man, err := st.Manifest(id)
	if err != nil {
		return 0, err
	}
	var targets []string
	for _, t := range man.Instances(geometryStage) {
		if r := man.Targets[t]; r.Outcome == store.OK {
			targets = append(targets, t)
		}
	}
	path := func(target, output string) string {
		if r := man.Targets[target]; r != nil && r.Outcome == store.OK && r.Outputs[output].File != "" {
			return st.TargetDir(id, target) + "/" + r.Outputs[output].File
		}
		return ""
	}
	molecule := path(moleculeStage, moleculeOutput)
	isomer, _ := value(man, isomerStage, "smiles").(string)
	if len(targets) == 0 || molecule == "" {
		return 0, nil
	}
	molfile, err := stages.ReadMolfile(molecule)
	if err != nil {
		return 0, err
	}
	var ensemble []stages.Frame
	file := path(ensembleStage, ensembleOutput)
	if merged && path(mergedStage, ensembleOutput) != "" {
		file = path(mergedStage, ensembleOutput)
	}
	if file != "" {
		if ensemble, err = stages.Ensemble(file); err != nil {
			return 0, err
		}
		ensemble = stages.OfIsomer(ensemble, isomer)
	}
	key := inchiKey(path(moleculeStage, propertiesOutput), isomer)
	for _, target := range targets {
		var rank int // from 0; the conformer's place in the ensemble too
		if _, err := fmt.Sscanf(target, geometryStage+"/%d", &rank); err != nil {
			return n, fmt.Errorf("%s: %q is no conformer", id, target)
		}
		rank--
		target = FinalTarget(man, rank)
		file := path(target, geometryOutput)
		if file == "" {
			return n, fmt.Errorf("%s/%s has no output %q, which holds the geometry", id, target, geometryOutput)
		}
		frame, err := stages.MOPACGeometry(file)
		if err != nil {
			return n, err
		}
		values := maps.Clone(man.Targets[target].Values)
		if hof := finalHOF(man, rank); hof != nil {
			values["hof"] = hof
		}
		tags := conformerTags(s, id, rank, values, ensemble, isomer, key)
		text := ""
		if format == "xyz" {
			text, err = stages.ExtXYZ(frame, xyzTags(tags))
		} else {
			text, err = stages.SDF(molfile, frame, fmt.Sprintf("%s %d", id, rank+1), tags)
		}
		if err != nil {
			return n, fmt.Errorf("%s: %w", file, err)
		}
		if _, err := w.WriteString(text); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// value is a value of a stage's result, nil where there is none.
func value(man *store.Manifest, stage, name string) any {
	if r := man.Targets[stage]; r != nil && r.Outcome == store.OK {
		return r.Values[name]
	}
	return nil
}

// FinalTarget names the target that has a conformer's final geometry; rank is its place in GFN2's
// order, from 0. That is its pm7 target or, of the lowest conformer, stage minimum where that fell
// lower from a perturbed geometry.
func FinalTarget(man *store.Manifest, rank int) string {
	target := fmt.Sprintf("%s/%d", geometryStage, rank+1)
	lowest, _ := value(man, lowestStage, "rank").(float64)
	first, _ := value(man, target, "hof").(float64)
	second, ok := value(man, minimumStage, "hof").(float64)
	if ok && int(lowest) == rank+1 && second < first {
		return minimumStage
	}
	return target
}

// finalHOF is a conformer's heat of formation as the final stage has it: corrected where MOPAC
// counted the triple bonds of another geometry. nil where there is no such value.
func finalHOF(man *store.Manifest, rank int) any {
	if list, _ := value(man, finalStage, "hof").([]any); rank < len(list) {
		return list[rank]
	}
	return nil
}

// conformerTags are the facts of a conformer. Energies: HOF is MOPAC's heat of formation at 298.15
// K in the gas, delta its distance from H298_cbs, both kcal/mol; GFN2 is xTB's total energy,
// hartree.
func conformerTags(s *csvmerge.Stream, id string, rank int, values map[string]any, ensemble []stages.Frame, isomer, key string) []stages.Tag {
	hof, _ := values["hof"].(float64)
	tags := []stages.Tag{{Name: "mol_id", Value: id}, {Name: "conformer_rank", Value: int64(rank + 1)}, {Name: "HOF_kcal_mol", Value: round9(hof)}}
	add := func(name string, value any) { tags = append(tags, stages.Tag{Name: name, Value: value}) }
	if reference, ok := s.Cell("H298_cbs").Value(csvmerge.Number).(float64); ok {
		add("delta_kcal_mol", round9(math.Abs(reference-hof)))
	}
	if rank < len(ensemble) && ensemble[rank].Energy != nil {
		add("E_GFN2_hartree", *ensemble[rank].Energy)
	}
	add("SMILES", s.Cell("smiles").Value(csvmerge.SMILES))
	add("stereo_SMILES", isomer)
	add("InChIKey", key)
	add("charge", withDefault(s.Cell("charge").Value(csvmerge.Integer), 0))
	add("multiplicity", withDefault(s.Cell("multiplicity").Value(csvmerge.Integer), 1))
	add("status", csvmerge.OK.String())
	method, _ := values["method"].(string)
	add("method", method)
	return tags
}

func withDefault(value any, otherwise int64) any {
	if value == nil {
		return otherwise
	}
	return value
}

// round9 takes off the last bits, which differ from one machine to the next.
func round9(x float64) float64 { return math.Round(x*1e9) / 1e9 }

// xyzTags are the same facts by the names that extended xyz files use: smiles in small letters, and
// energy for the energy of the frame, in which chemists' readers expect one; ours is the heat of
// formation, as its unit says.
func xyzTags(tags []stages.Tag) []stages.Tag {
	out := make([]stages.Tag, 0, len(tags)+2)
	for _, t := range tags {
		switch t.Name {
		case "HOF_kcal_mol":
			out = append(out, stages.Tag{Name: "energy", Value: t.Value}, stages.Tag{Name: "energy_unit", Value: "kcal/mol"})
		case "SMILES", "stereo_SMILES":
			t.Name = strings.ToLower(t.Name)
		}
		out = append(out, t)
	}
	return out
}

// inchiKey is the InChIKey of a stereoisomer in a molecule's properties, "" where there is none:
// RDKit may be built without InChI.
func inchiKey(file, isomer string) string {
	if file == "" {
		return ""
	}
	data, err := packed.ReadFile(file, 1<<20)
	var properties struct{ InchiKeys map[string]string }
	if err = errors.Join(err, json.Unmarshal(data, &properties)); err != nil {
		return ""
	}
	return properties.InchiKeys[isomer]
}
