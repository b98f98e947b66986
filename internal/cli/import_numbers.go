package cli

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"grimperium/internal/batch"
	"grimperium/internal/formats"
)

var (
	commaNumber = regexp.MustCompile(`^[+-]?\d+(?:,\d+)?(?:[eE][+-]?\d+)?$`)
	thousands   = regexp.MustCompile(`^[+-]?\d{1,3}(?:,\d{3})+$`)
	// beside decimal commas
	pointThousands = regexp.MustCompile(`^[+-]?\d{1,3}(?:\.\d{3})+$`)
)

// numbers are the columns of numbers that a batch reads.
var numbers = []string{"charge", "multiplicity", "H298_cbs"}

// noNumber are the words of other programs for a missing number (pandas.read_csv, na_values), and
// what people write.
var noNumber = []string{"na", "n/a", "#n/a", "#na", "nan", "-nan", "null", "none", "<na>", "-", "–",
	"?", "."}

// plainNumbers blanks words for a missing number in the columns numbers, and writes minus signs of
// word processors as a hyphen.
func (im *importing) plainNumbers() {
	for _, name := range numbers {
		k, there := im.known[name]
		if !there {
			continue
		}
		var blanked []string
		for _, r := range im.Records {
			text := cell(r, k)
			switch {
			case text == "":
			case slices.Contains(noNumber, strings.ToLower(text)):
				blanked, r.Cells[k] = append(blanked, text), ""
			default:
				r.Cells[k] = strings.Replace(text, "\u2212", "-", 1)
			}
		}
		if n := len(blanked); n > 0 {
			im.note("column %s: %s without a number left blank, as %q", im.Names[k],
				batch.Count(n, "cell"), blanked[0])
		}
	}
}

// decimalCommas writes numbers with a comma with a point, in columns that have no other cells. In
// the columns numbers other cells stay as they are, and validate lists them. If one of these cells
// may have thousands, that is an error. Where commas separate cells, only H298_cbs is looked at.
func (im *importing) decimalCommas() error {
	reference, known := im.known["H298_cbs"]
	for k, name := range im.Names {
		if k == im.smiles || k == im.id || im.Commas && !(known && k == reference) {
			continue
		}
		isNumbers := slices.ContainsFunc(numbers, func(n string) bool {
			at, there := im.known[n]
			return there && at == k
		})
		example, ambiguous := "", true
		for _, r := range im.Records {
			text := cell(r, k)
			if text != "" && !commaNumber.MatchString(text) {
				if isNumbers {
					continue
				}
				example = ""
				break
			}
			if strings.Contains(text, ",") {
				example, ambiguous = text, ambiguous && thousands.MatchString(text)
			}
		}
		switch {
		case example == "":
			continue
		case ambiguous:
			im.note("column %s: %q may be a decimal comma or thousands, and stays", name, example)
			continue
		}
		if isNumbers {
			if err := im.checkPoints(k, example); err != nil {
				return err
			}
		}
		for _, r := range im.Records {
			if text := cell(r, k); commaNumber.MatchString(text) {
				r.Cells[k] = strings.Replace(text, ",", ".", 1)
			}
		}
		im.note("column %s has decimal commas: %s is written as %s", name, example,
			strings.Replace(example, ",", ".", 1))
	}
	return nil
}

// checkPoints refuses a number with a point that may separate thousands, in a column that has
// decimal commas.
func (im *importing) checkPoints(column int, comma string) error {
	isThousands := func(r formats.Record) bool {
		return pointThousands.MatchString(cell(r, column))
	}
	at := slices.IndexFunc(im.Records, isThousands)
	if at < 0 {
		return nil
	}
	r := im.Records[at]
	text := cell(r, column)
	return fmt.Errorf("line %d: column %s: %q may be %s or %s, because other cells have decimal "+
		"commas, as %s; write it in one of these ways", r.Line, im.Names[column], text,
		strings.ReplaceAll(text, ".", ""), strings.Replace(text, ".", ",", 1), comma)
}

// units are the words for units of energy that are not kcal/mol, and how to convert a number. The
// factors follow from CODATA 2022, with 4.184 J in a calorie.
var units = map[string]string{
	"kj": "divide by 4.184", "kjmol": "divide by 4.184", "ev": "multiply by 23.0605",
	"hartree": "multiply by 627.5095", "hartrees": "multiply by 627.5095",
	"eh": "multiply by 627.5095", "au": "multiply by 627.5095",
}

// unitIn is the word in a text for a unit that is not kcal/mol, or "".
func unitIn(text string) string {
	text = strings.ReplaceAll(strings.ToLower(text), "a.u.", "au")
	words := strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsLetter(r) })
	k := slices.IndexFunc(words, func(w string) bool { return units[w] != "" })
	if k < 0 || strings.Contains(text, "kcal") {
		return ""
	}
	return words[k]
}

// checkUnit refuses reference enthalpies that are not in kcal/mol by the header or by a column of
// units.
func (im *importing) checkUnit() error {
	reference, known := im.known["H298_cbs"]
	if !known {
		return nil
	}
	name := im.Names[reference]
	if unit := unitIn(name); unit != "" {
		return fmt.Errorf("column %s is not in kcal/mol by its name: convert it first (%s), and "+
			"name the new column in kcal/mol by -reference", name, units[unit])
	}
	k := im.find("unit", "units")
	isOther := func(r formats.Record) bool {
		return cell(r, reference) != "" && unitIn(cell(r, k)) != ""
	}
	if at := slices.IndexFunc(im.Records, isOther); at >= 0 {
		r := im.Records[at]
		return fmt.Errorf("line %d: column %s says %s, and %s must be in kcal/mol: convert it "+
			"first (%s). If the unit is of another column, rename the column %[2]s", r.Line,
			im.Names[k], cell(r, k), name, units[unitIn(cell(r, k))])
	}
	return nil
}
