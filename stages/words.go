package stages

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// The words of the commands in pipeline.hcl: numbers with units, criteria, levels.

// quantity reads a positive number with its unit, as "6kcal/mol".
func quantity(text, unit string) (float64, error) {
	number, ok := strings.CutSuffix(text, unit)
	x, err := parseFloat(number)
	if !ok || err != nil || !(x > 0 && x <= 1000) {
		return 0, fmt.Errorf("%q is no positive number with the unit %s", text, unit)
	}
	return x, nil
}

// criteria say how near two geometries must be to count as one conformer.
type criteria struct {
	rmsd     float64 // Å
	energy   float64 // kcal/mol
	rotation float64 // relative, of each rotational constant
}

// parseCriteria reads "0.125Å 0.05kcal/mol 1%".
func parseCriteria(text string) (c criteria, err error) {
	words := strings.Fields(text)
	if len(words) != 3 {
		return c, fmt.Errorf("%q must be an RMSD, an energy and a part of the rotational "+
			"constants, as \"0.125Å 0.05kcal/mol 1%%\"", text)
	}
	var errs [3]error
	c.rmsd, errs[0] = quantity(words[0], "Å")
	c.energy, errs[1] = quantity(words[1], "kcal/mol")
	c.rotation, errs[2] = quantity(words[2], "%")
	c.rotation /= 100
	return c, errors.Join(errs[:]...)
}

// level is one round of optimisations. Each round works on what the earlier one left.
type level struct {
	method  string    // gfn2, or gfnff, which prepares members and drops none but equal ones
	name    string    // xTB's name of the convergence criteria, or point
	limit   float64   // kcal/mol above the lowest: higher members stay as they are
	twins   *criteria // only members that are so near to another: perhaps one flat minimum
	isomers int       // only so many of each stereoisomer, to drop isomers above keep
	keep    float64   // kcal/mol: the window of an isomer level; of others, what --window gets more
	batch   int       // so many members at a time, while they end near the lowest
	near    float64   // kcal/mol above the last of --first: what a batch must end below
	same    criteria  // which members count as one afterwards
}

func (l level) String() string { return l.method + ":" + l.name }

// point names a level of single points. It optimises nothing, and says which members the next one
// takes first.
const point = "point"

const levelForm = `want METHOD:CRITERIA, then what it needs of <LIMIT, same, twins, window, isomers ` +
	`and batches: "gfnff:normal, window +8kcal/mol", "gfn2:point, window +2kcal/mol", ` +
	`"gfn2:loose, same 0.20Å 0.5kcal/mol 3%, window +1kcal/mol", ` +
	`"gfn2:normal <3kcal/mol", "gfn2:normal <5kcal/mol, batches 10 <1kcal/mol", ` +
	`"gfn2:tight <3kcal/mol, twins 0.6Å 0.2kcal/mol 5%", "gfn2:normal <5kcal/mol, isomers 2 <3kcal/mol"`

var levelPattern = regexp.MustCompile(`^(gfn2|gfnff):` +
	`(point|crude|sloppy|loose|lax|normal|tight|vtight|extreme)` +
	`(?: <([^ ,]+))?(?:, same ([^,]+))?(?:, twins ([^,]+))?(?:, window \+([^ ,]+))?` +
	`(?:, (isomers|batches) ([1-9][0-9]?) <([^ ,]+))?$`)

// parseLevels reads levels with semicolons between them.
func parseLevels(text string) (levels []level, err error) {
	for one := range strings.SplitSeq(text, ";") {
		l, wrong := parseLevel(strings.TrimSpace(one))
		if wrong != nil {
			err = errors.Join(err, fmt.Errorf("%q: %w", strings.TrimSpace(one), wrong))
		}
		levels = append(levels, l)
	}
	last := levels[len(levels)-1]
	if err == nil && (last.method != "gfn2" || last.name == point) {
		err = errors.New("the last level must optimise by gfn2, whose energies sort the conformers")
	}
	return levels, err
}

// parseLevel reads a level. Its same is nought where the text says nothing of it.
func parseLevel(text string) (level, error) {
	m := levelPattern.FindStringSubmatch(text)
	if m == nil {
		return level{}, errors.New(levelForm)
	}
	limit, same, twins, window, counted := m[3], m[4], m[5], m[6], m[7]
	if counted != "" && limit == "" || counted == "isomers" && same+twins+window != "" ||
		counted == "batches" && twins != "" || m[1] == "gfnff" && limit+twins != "" ||
		m[2] == point && (m[1] == "gfnff" || limit+twins != "") {
		return level{}, errors.New(levelForm)
	}
	l, errs := level{method: m[1], name: m[2], limit: math.Inf(1)}, []error{}
	energy := func(text string, to *float64) {
		if text != "" {
			x, err := parseEnergy(text)
			*to, errs = x, append(errs, err)
		}
	}
	likeness := func(text string) (c criteria) {
		if text != "" {
			var err error
			c, err = parseCriteria(text)
			errs = append(errs, err)
		}
		return c
	}
	energy(limit, &l.limit)
	energy(window, &l.keep)
	l.same = likeness(same)
	if twins != "" {
		l.twins = new(criteria)
		*l.twins = likeness(twins)
	}
	count, _ := strconv.Atoi(m[8])
	switch counted {
	case "isomers":
		l.isomers = count
		energy(m[9], &l.keep)
	case "batches":
		l.batch = count
		energy(m[9], &l.near)
	}
	return l, errors.Join(errs...)
}

// searchWords are the words behind the files of a conformer command.
type searchWords struct {
	molecule string
	isomer   string // SMILES of the only one that counts, "" for all
	state    []string
	reach    Reach
	window   float64 // kcal/mol
	first    int     // so many of the lowest take part in each level, however high they lie
	levels   []level
}

const searchForm = `--molecule MOLECULE --bonds REACH --chrg Q --uhf N [--alpb SOLVENT] ` +
	`--window KCAL --first N --same CRITERIA --levels "LEVEL; LEVEL; ..."`

// form is how a conformer command begins: its name and what its files are.
type form string

const (
	conformersForm form = "conformers GEOMETRIES "
	mergeForm      form = "merge_conformers ENSEMBLE OTHER "
)

// parse reads the words after the name.
func (f form) parse(words []string) (searchWords, error) {
	form := strings.Fields(string(f))
	files := len(form) - 1
	noFile := func(word string) bool { return strings.HasPrefix(word, "-") }
	if len(words) < files || slices.ContainsFunc(words[:files], noFile) {
		return searchWords{}, fmt.Errorf("want %s%s", f, searchForm)
	}
	s, err := parseSearch(words[files:])
	if err != nil {
		err = fmt.Errorf("%s: %w", form[0], err)
	}
	return s, err
}

func (f form) check(words []string) error {
	_, err := f.parse(words)
	return err
}

// parseSearch reads the words behind the files: each --name and its value. Of these --alpb and
// --isomer may be missing.
func parseSearch(words []string) (s searchWords, err error) {
	var charge, unpaired int
	var solvent string
	var same criteria
	readers := map[string]func(string) error{
		"molecule": into(&s.molecule, plain), "isomer": into(&s.isomer, plain),
		"alpb":   into(&solvent, plain),
		"chrg":   into(&charge, wholeNumber(-100)),
		"uhf":    into(&unpaired, wholeNumber(0)),
		"first":  into(&s.first, wholeNumber(1)),
		"bonds":  into(&s.reach, ParseReach),
		"window": into(&s.window, parseEnergy),
		"same":   into(&same, parseCriteria),
		"levels": into(&s.levels, parseLevels),
	}
	given := map[string]bool{"alpb": true, "isomer": true}
	for ; len(words) > 0; words = words[2:] {
		name, named := strings.CutPrefix(words[0], "--")
		if read := readers[name]; !named || read == nil || len(words) == 1 {
			return s, fmt.Errorf("%q is not known here, or has no value; want %s", words[0],
				searchForm)
		} else if err := read(words[1]); err != nil {
			return s, fmt.Errorf("%s %q: %w", words[0], words[1], err)
		}
		given[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(readers)) {
		if !given[name] {
			return s, fmt.Errorf("--%s is missing; want %s", name, searchForm)
		}
	}
	s.state = []string{"--chrg", strconv.Itoa(charge), "--uhf", strconv.Itoa(unpaired)}
	if solvent != "" {
		s.state = append(s.state, "--alpb", solvent)
	}
	for i := range s.levels {
		if s.levels[i].same == (criteria{}) {
			s.levels[i].same = same
		}
	}
	return s, nil
}

// into returns a function that reads a word into a variable.
func into[T any](to *T, read func(string) (T, error)) func(string) error {
	return func(text string) (err error) {
		*to, err = read(text)
		return err
	}
}

func plain(text string) (string, error) { return text, nil }

func parseEnergy(text string) (float64, error) { return quantity(text, "kcal/mol") }

// wholeNumber returns a function that reads a number that is not below least.
func wholeNumber(least int) func(string) (int, error) {
	return func(text string) (int, error) {
		n, err := strconv.Atoi(text)
		if err != nil || n < least {
			return 0, fmt.Errorf("want a whole number from %d on", least)
		}
		return n, nil
	}
}
