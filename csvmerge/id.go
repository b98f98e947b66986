package csvmerge

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// maxID is the longest mol_id in bytes: names of 255 bytes are the limit of the usual file systems,
// and a molecule's files are named after it with something added.
const maxID = 100

// devices are the names that Windows takes for a device, with any extension (Microsoft, "Naming
// Files, Paths, and Namespaces").
var devices = regexp.MustCompile(`^(?i:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³])$`)

// SafeID reports why a mol_id can't be the name of a folder on Linux, macOS and Windows; nil when
// it can.
func SafeID(id string) error {
	forbidden := func(r rune) bool {
		return !unicode.IsPrint(r) || strings.ContainsRune(`/\:*?"<>|`, r) || r == utf8.RuneError
	}
	device, _, _ := strings.Cut(id, ".")
	device = strings.TrimRight(device, " ")
	switch at := strings.IndexFunc(id, forbidden); {
	case id == "":
		return errors.New("the mol_id is blank")
	case len(id) > maxID:
		return fmt.Errorf("the mol_id is longer than %d bytes", maxID)
	case strings.IndexByte("-. ", id[0]) >= 0:
		return fmt.Errorf("the mol_id starts with %q", id[0])
	case strings.IndexByte(". ", id[len(id)-1]) >= 0:
		return fmt.Errorf("the mol_id ends with %q", id[len(id)-1])
	case strings.EqualFold(id, "journal.jsonl"): // other files beside the folders start with a dot
		return errors.New("the mol_id is the name of the journal, which lies beside the folders")
	case len(device) <= len("conout$") && devices.MatchString(device):
		return errors.New("the mol_id is the name of a device on Windows")
	case at >= 0:
		r, _ := utf8.DecodeRuneInString(id[at:])
		return fmt.Errorf("the mol_id has the character %q in it, "+
			"which a folder name can't have everywhere", r)
	}
	return nil
}

// fold makes names equal that are one on a disk which ignores letter case and how accents are
// stored.
func fold(id string) string {
	changes := func(r rune) bool { return r >= utf8.RuneSelf || 'A' <= r && r <= 'Z' }
	if !strings.ContainsFunc(id, changes) {
		return id // the usual case, a million times
	}
	id = strings.ToLower(strings.ToUpper(norm.NFC.String(id))) // by way of capitals: ſ and s, σ and ς
	return norm.NFC.String(id)
}

// twinProblem says which row above has the mol_id of row i or one that fold makes equal; "" for
// none.
func (t *Table) twinProblem(i int, id string) string {
	if len(t.twin) == 0 {
		return "" // the usual case
	}
	first := t.first[fold(id)]
	if first == i {
		return ""
	}
	other, difference := t.ID(first), "letter case"
	if other == id {
		return fmt.Sprintf("the mol_id is on line %d already", t.Line(first))
	}
	if norm.NFC.String(id) == norm.NFC.String(other) {
		difference = "how its accents are stored (composed or not)"
	}
	return fmt.Sprintf("the mol_id differs only in %s from %q on line %d",
		difference, other, t.Line(first))
}
