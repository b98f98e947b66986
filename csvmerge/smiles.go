package csvmerge

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/runenames"
)

// splitSMILES splits the text of a SMILES cell into the SMILES and what follows it behind a blank
// or a tab: a name or CXSMILES. problem says why the cell can't be used: RDKit would stop at a
// character and leave out the rest of the molecule. All else that may be wrong is left to RDKit.
func splitSMILES(text string) (smiles, name, problem string) {
	text = strings.TrimSpace(text)
	smiles = text
	if blank := strings.IndexAny(text, " \t"); blank >= 0 {
		smiles, name = text[:blank], strings.TrimLeft(text[blank:], " \t")
	}
	foreign := strings.IndexFunc(smiles, func(r rune) bool { return r < ' ' || r >= 0x7f })
	switch {
	case foreign >= 0:
		r, _ := utf8.DecodeRuneInString(smiles[foreign:])
		return "", "", fmt.Sprintf("the SMILES has %q (%s, U+%04X) as character %d; write plain "+
			"(ASCII) letters, digits and signs", string(r), runenames.Name(r), r,
			utf8.RuneCountInString(smiles[:foreign])+1)
	case name == "" || !onlySigns.MatchString(smiles): // RDKit refuses what is no SMILES
		return text, "", ""
	case len(strings.Fields(name)) < 20 && isName(smiles, name):
		return smiles, name, ""
	}
	return "", "", fmt.Sprintf("the SMILES has a blank as character %d, and %.40q may be part of "+
		"the molecule; remove the blank, or move what is a name to another column",
		len(smiles)+1, name)
}

// isName reports whether what follows a SMILES behind a blank can be no part of the molecule.
func isName(smiles, rest string) bool {
	joined := ""
	for word := range strings.FieldsSeq(rest) {
		if joined += word; onlySigns.MatchString(joined) &&
			(isWhole(joined) || isWhole(smiles+joined)) {
			return false
		}
	}
	return isWhole(smiles)
}

var (
	onlySigns = regexp.MustCompile(`^(?:\[[^\]]+\]|%\([0-9]+\)|%[0-9]{2}|Cl|Br|->|<-|` +
		`[BCNOPSFIbcnops*()=#$:/\\~.0-9-])*$`)
	brackets = regexp.MustCompile(`\[[^\]]+\]`)
	closures = regexp.MustCompile(`%\([0-9]+\)|%[0-9]{2}|[0-9]`)
)

// isWhole reports whether signs have an atom, closed branches and rings, and no bond at the end.
func isWhole(text string) bool {
	bare := brackets.ReplaceAllString(text, "C")
	open := strings.Count(bare, "(") != strings.Count(bare, ")")
	rings := map[string]bool{}
	for _, ring := range closures.FindAllString(bare, -1) {
		rings[ring] = !rings[ring]
	}
	for _, ring := range rings {
		open = open || ring
	}
	return !open && strings.ContainsAny(bare, "BCNOPSFIbcnops*") &&
		!strings.ContainsAny(bare[len(bare)-1:], `-=#$:/\~.<>`)
}
