package stages

import (
	_ "embed" // draw.py, structures.py
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// DrawScript is a Python program that draws molecules with RDKit. It reads a JSON list of SMILES
// and writes a JSON list of SVG texts, null for a molecule that RDKit can't read.
//
//go:embed draw.py
var DrawScript string

// StructureScript is a Python program that reads structures with RDKit. It reads a JSON list of
// molfiles and writes a JSON list of SMILES, null for a molfile that RDKit can't read.
//
//go:embed structures.py
var StructureScript string

// Citation is a work that a paper names. DOI may be "".
type Citation struct{ Text, DOI string }

// Ran is what computed a set of results.
type Ran struct {
	Programs  map[string]string // program to what it says of its version
	Variables map[string]string // of the pipeline
	Keywords  string            // of a MOPAC input file, "" if there is none
	// ForceField says that GFN-FF optimised starting conformers.
	ForceField bool
	// SinglePoints says that PM7 ranked conformers and starts, to optimise others than the first.
	SinglePoints bool
}

// UsesForceField says whether a command of the conformer search has GFN-FF among its levels.
func UsesForceField(command []string) bool {
	return slices.ContainsFunc(command, func(word string) bool {
		return strings.Contains(word, "gfnff:")
	})
}

// The works that the shipped pipeline rests on.
var (
	citeRDKit = Citation{"RDKit: open-source cheminformatics, https://www.rdkit.org",
		"10.5281/zenodo.591637"}
	citeETKDG = Citation{"S. Wang, J. Witek, G. A. Landrum, S. Riniker, J. Chem. Inf. Model. 60, " +
		"2044 (2020)", "10.1021/acs.jcim.0c00025"}
	citeMMFF = Citation{"T. A. Halgren, J. Comput. Chem. 20, 720 (1999)",
		"10.1002/(SICI)1096-987X(199905)20:7<720::AID-JCC7>3.0.CO;2-X"}
	citeUFF = Citation{"A. K. Rappé, C. J. Casewit, K. S. Colwell, W. A. Goddard III, W. M. " +
		"Skiff, J. Am. Chem. Soc. 114, 10024 (1992)", "10.1021/ja00051a040"}
	citeGFNFF = Citation{"S. Spicher, S. Grimme, Angew. Chem. Int. Ed. 59, 15665 (2020)",
		"10.1002/anie.202004239"}
	citeGFN2 = Citation{
		"C. Bannwarth, S. Ehlert, S. Grimme, J. Chem. Theory Comput. 15, 1652 (2019)",
		"10.1021/acs.jctc.8b01176"}
	citeXTB = Citation{"C. Bannwarth, E. Caldeweyher, S. Ehlert, A. Hansen, P. Pracht, J. " +
		"Seibert, S. Spicher, S. Grimme, WIREs Comput. Mol. Sci. 11, e1493 (2021)",
		"10.1002/wcms.1493"}
	citeALPB = Citation{"S. Ehlert, M. Stahn, S. Spicher, S. Grimme, J. Chem. Theory Comput. 17, " +
		"4250 (2021)", "10.1021/acs.jctc.1c00471"}
	citeCREST = Citation{"P. Pracht, F. Bohle, S. Grimme, Phys. Chem. Chem. Phys. 22, 7169 (2020)",
		"10.1039/C9CP06869D"}
	citePM7 = Citation{"J. J. P. Stewart, J. Mol. Model. 19, 1 (2013)",
		"10.1007/s00894-012-1667-x"}
	citeMOPAC = Citation{"J. E. Moussa, J. J. P. Stewart, MOPAC", "10.5281/zenodo.6511958"}
)

// Methods returns sentences for the methods section of a paper, and the works that they cite by
// number, as [1]. Only programs that ran are named.
func (r Ran) Methods() (sentences []string, works []Citation) {
	say := func(text string, cited ...Citation) {
		var numbers []string
		for _, c := range cited {
			at := slices.Index(works, c)
			if at < 0 {
				at, works = len(works), append(works, c)
			}
			numbers = append(numbers, fmt.Sprint(at+1))
		}
		sentences = append(sentences, text+" ["+strings.Join(numbers, ", ")+"].")
	}
	window := r.Variables["window"]
	if id, ok := r.Programs["python3"]; ok {
		say("Starting conformers were generated with ETKDGv3 and relaxed with MMFF94s (UFF "+
			"without its parameters), by RDKit "+version(id), citeRDKit, citeETKDG, citeMMFF,
			citeUFF)
	}
	if r.ForceField {
		say("If there were many, GFN-FF optimised them first", citeGFNFF)
	}
	if id, ok := r.Programs["xtb"]; ok {
		text := "They were optimised and sorted by GFN2-xTB with xtb " + version(id)
		if window != "" {
			text += ", within " + window + " kcal/mol of the most stable"
		}
		cited := []Citation{citeGFN2, citeXTB}
		if solvent := r.Variables["solvent"]; solvent != "" {
			text, cited = text+", in the ALPB model of "+solvent, append(cited, citeALPB)
		}
		say(text, cited...)
	}
	if id, ok := r.Programs["crest"]; ok {
		say("CREST "+version(id)+" searched for further conformers", citeCREST)
	}
	if id, ok := r.Programs["mopac"]; ok {
		text := "Heats of formation (gas, 298.15 K) are those of PM7 with MOPAC " + version(id)
		if n := r.Variables["conformers"]; n != "" {
			text += ", from at most " + n + " conformers a molecule, the most stable by GFN2-xTB"
			if r.SinglePoints {
				text += ", and from further geometries that PM7 ranks lower"
			}
			text += "; the lowest counts"
		}
		if r.Keywords != "" {
			text += "; keywords of one molecule: " + r.Keywords
		}
		say(text, citePM7, citeMOPAC)
	}
	return sentences, works
}

var versionNumber = regexp.MustCompile(`\d+(\.\d+)+`)

// version is the number in what a program says of its version.
func version(text string) string {
	if number := versionNumber.FindString(text); number != "" {
		return number
	}
	return text
}
