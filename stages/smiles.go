package stages

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// smilesAtom is an atom of a SMILES.
type smilesAtom struct {
	element   Element
	charge    int
	hydrogens int // written in brackets, or implied once all bonds are known
	bracket   bool
	aromatic  bool
	order     int  // sum of the orders of its bonds, an aromatic one counted as 1
	near      int  // its neighbours that are aromatic
	shared    bool // it has a double bond, or a triple one, that is written
	// the atom that it was bonded to when it was read, -1 for the first of a fragment
	parent int
	bond   int // order of that bond
	heavy  int // its neighbours but for hydrogen
	// of the ring closures below it, one hash each, combined by xor: 0 if its bond to parent is in
	// no ring
	rings uint64
}

// smilesReader reads a SMILES as far as its atoms and hydrogens need it. It checks no aromaticity,
// no stereo and no valence of bracket atoms: RDKit, which builds the molecule, has the last word.
type smilesReader struct {
	text     string // what is left to read
	atoms    []smilesAtom
	last     int   // the atom that the next bond starts from, -1 at the start of a fragment
	branches []int // the last of each open branch
	order    int   // of the bond symbol just read, 0 without one
	rings    map[int]smilesRing
	closures uint64   // so far
	aromatic [][2]int // the bonds between aromatic atoms
}

// aromaticBond is the order that stands for ":".
const aromaticBond = 5

type smilesRing struct{ atom, order int }

var errSMILES = errors.New("not a SMILES that can be read here")

// organic are the atoms that may stand without brackets: atomic number and valences (OpenSMILES),
// with those that RDKit adds for P and I.
var organic = map[string]struct {
	number   int
	valences []int
}{
	"B": {5, []int{3}}, "C": {6, []int{4}}, "N": {7, []int{3, 5}}, "O": {8, []int{2}},
	"P": {15, []int{3, 5, 7}}, "S": {16, []int{2, 4, 6}},
	"F": {9, []int{1}}, "Cl": {17, []int{1}}, "Br": {35, []int{1}}, "I": {53, []int{1, 3, 5}},
}

// parseSMILES reads the atoms of a SMILES with their implicit hydrogens.
func parseSMILES(smiles string) ([]smilesAtom, error) {
	r := smilesReader{text: strings.TrimSpace(smiles), last: -1}
	r.atoms = make([]smilesAtom, 0, len(r.text))
	if r.text == "" {
		return nil, errSMILES
	}
	for r.text != "" {
		if !r.next() {
			return nil, errSMILES
		}
	}
	if len(r.branches) > 0 || len(r.rings) > 0 || r.order != 0 || r.last < 0 {
		return nil, errSMILES
	}
	for i := range r.atoms {
		if !r.atoms[i].imply() {
			return nil, errSMILES
		}
	}
	if !r.alternates() {
		return nil, errSMILES
	}
	return r.atoms, nil
}

// alternates reports whether single and double bonds may be drawn for the aromatic atoms. In each
// connected group an even number of atoms must take part in a double bond. If not, as in c1cccn1,
// an atom lacks its hydrogen, and the count of electrons is one off. RDKit says so. An atom with
// fewer than two aromatic neighbours is in no aromatic ring.
func (r *smilesReader) alternates() bool {
	// an earlier atom of the same group, the first one's own number
	group := make([]int, len(r.atoms))
	first := func(i int) int {
		for group[i] != i {
			i = group[i]
		}
		return i
	}
	for i := range group {
		group[i] = i
	}
	for _, pair := range r.aromatic {
		a, b := first(pair[0]), first(pair[1])
		group[max(a, b)] = min(a, b)
	}
	isOdd := make([]bool, len(r.atoms))
	for i, a := range r.atoms {
		if a.aromatic && a.near < 2 {
			return false
		}
		if a.aromatic && a.takesDouble() {
			isOdd[first(i)] = !isOdd[first(i)]
		}
	}
	return !slices.Contains(isOdd, true)
}

// takesDouble reports whether an aromatic atom has a double bond when the ring is drawn with single
// and double bonds. It has one if its valence has room for it.
func (a *smilesAtom) takesDouble() bool {
	bonds, charge := a.order+a.hydrogens, a.charge
	switch a.element.Symbol {
	case "C", "Si":
		return !a.shared && bonds < 4-max(charge, -charge)
	case "N", "P", "As":
		// n(=O), as RDKit takes it
		return !a.shared && bonds < 3+charge || a.shared && charge == 0 && bonds == 4
	case "O", "S", "Se", "Te":
		return !a.shared && bonds < 2+charge
	case "B":
		return bonds < 3-charge
	}
	return false
}

// next reads one atom, bond, ring closure, bracket of a branch or dot.
func (r *smilesReader) next() bool {
	c := r.text[0]
	if order := strings.IndexByte("-=#$:", c) + 1; order > 0 || strings.IndexByte(`/\`, c) >= 0 {
		r.text = r.text[1:]
		if r.last < 0 || r.order != 0 {
			return false
		}
		r.order = max(order, 1)
		return true
	}
	switch {
	case c == '(' && r.last >= 0 && r.order == 0:
		r.branches = append(r.branches, r.last)
	case c == ')' && len(r.branches) > 0 && r.order == 0:
		r.last = r.branches[len(r.branches)-1]
		r.branches = r.branches[:len(r.branches)-1]
	case c == '.' && r.last >= 0 && len(r.branches) == 0 && r.order == 0:
		r.last = -1
	case c == '%' || c >= '0' && c <= '9':
		return r.ring()
	default:
		return r.atom()
	}
	r.text = r.text[1:]
	return true
}

// ring reads a ring closure: a digit, %nn or %(n).
func (r *smilesReader) ring() bool {
	digits := r.text[:1]
	rest := r.text[1:]
	if digits == "%" {
		var found bool
		if inner, ok := strings.CutPrefix(rest, "("); ok {
			if digits, rest, found = strings.Cut(inner, ")"); !found || len(digits) > 5 {
				return false
			}
		} else if len(rest) < 2 {
			return false
		} else {
			digits, rest = rest[:2], rest[2:]
		}
	}
	number, err := strconv.ParseUint(digits, 10, 31)
	if err != nil || r.last < 0 {
		return false
	}
	here := smilesRing{r.last, r.order}
	r.text, r.order = rest, 0
	open, closing := r.rings[int(number)]
	if !closing {
		if r.rings == nil {
			r.rings = map[int]smilesRing{}
		}
		r.rings[int(number)] = here
		return true
	}
	delete(r.rings, int(number))
	r.closures++
	// 2^64 / golden ratio: some of them combined by xor are hardly ever 0
	mark := r.closures * 0x9e3779b97f4a7c15
	r.atoms[open.atom].rings ^= mark
	r.atoms[here.atom].rings ^= mark
	if open.atom == here.atom || open.order != 0 && here.order != 0 && open.order != here.order {
		return false
	}
	return r.bond(open.atom, here.atom, max(open.order, here.order))
}

// bond joins two atoms. A double bond between aromatic atoms is left to RDKit.
func (r *smilesReader) bond(a, b, order int) bool {
	if order == aromaticBond {
		if !r.atoms[a].aromatic || !r.atoms[b].aromatic {
			return false
		}
		order = 0
	}
	if r.atoms[a].aromatic && r.atoms[b].aromatic {
		if order > 1 {
			return false
		}
		r.atoms[a].near++
		r.atoms[b].near++
		if order == 0 { // one that is written single may join two rings
			r.aromatic = append(r.aromatic, [2]int{a, b})
		}
	}
	if order > 1 {
		r.atoms[a].shared, r.atoms[b].shared = true, true
	}
	r.atoms[a].order += max(order, 1)
	r.atoms[b].order += max(order, 1)
	r.atoms[a].heavy += min(r.atoms[b].element.Number-1, 1)
	r.atoms[b].heavy += min(r.atoms[a].element.Number-1, 1)
	return true
}

// atom reads an atom with or without brackets and bonds it to the one before.
func (r *smilesReader) atom() bool {
	var atom smilesAtom
	var ok bool
	if inner, bracket := strings.CutPrefix(r.text, "["); bracket {
		body, rest, closed := strings.Cut(inner, "]")
		if !closed {
			return false
		}
		atom, ok = bracketAtom(body)
		r.text = rest
	} else {
		symbol := r.text[:1]
		if strings.HasPrefix(r.text, "Cl") || strings.HasPrefix(r.text, "Br") {
			symbol = r.text[:2]
		}
		atom.aromatic = strings.Contains("bcnops", symbol)
		if atom.aromatic {
			symbol = strings.ToUpper(symbol)
		}
		if bare, found := organic[symbol]; found {
			r.text = r.text[len(symbol):]
			atom.element, ok = ElementByNumber(bare.number)
		}
	}
	if !ok {
		return false
	}
	atom.parent, atom.bond = r.last, r.order%aromaticBond
	r.atoms = append(r.atoms, atom)
	this := len(r.atoms) - 1
	if r.last >= 0 && !r.bond(r.last, this, r.order) {
		return false
	}
	r.last, r.order = this, 0
	return true
}

// bracketForm is what stands in brackets: isotope, symbol, chirality, hydrogens, charge, class.
var bracketForm = regexp.MustCompile(`^\d*([A-Za-z][a-z]?)@*(?:(?:TH|AL|SP|TB|OH)[1-9]\d*)?` +
	`(?:H(\d{0,2}))?(?:(\++|-+)|([+-]\d{1,2}))?(?::\d+)?$`)

// aromatic are the symbols of atoms in aromatic rings.
var aromatic = regexp.MustCompile(`^(?:b|c|n|o|p|s|se|as|te|si)$`)

func bracketAtom(body string) (smilesAtom, bool) {
	m := bracketForm.FindStringSubmatchIndex(body)
	if m == nil {
		return smilesAtom{}, false
	}
	part := func(i int) string {
		if m[2*i] < 0 {
			return ""
		}
		return body[m[2*i]:m[2*i+1]]
	}
	symbol := part(1)
	element, ok := ElementBySymbol(symbol)
	atom := smilesAtom{bracket: true, element: element, aromatic: aromatic.MatchString(symbol)}
	if m[4] >= 0 {
		atom.hydrogens = 1
		if n, err := strconv.Atoi(part(2)); err == nil {
			atom.hydrogens = n
		}
	}
	if signs := part(3); signs != "" {
		atom.charge = len(signs)
		if signs[0] == '-' {
			atom.charge = -len(signs)
		}
	} else if charge := part(4); charge != "" {
		atom.charge, _ = strconv.Atoi(charge)
	}
	return atom, ok && (atom.aromatic || symbol == element.Symbol)
}

// imply gives an atom without brackets its hydrogens: those up to the next valence, one bond more
// for an aromatic atom.
func (a *smilesAtom) imply() bool {
	if a.bracket {
		return true
	}
	valences := organic[a.element.Symbol].valences
	if a.aromatic {
		a.hydrogens = max(0, valences[0]-a.order-1)
		return true
	}
	for _, valence := range valences {
		if valence >= a.order {
			a.hydrogens = valence - a.order
			return true
		}
	}
	return false
}

// PossibleState is true, or an error that says why a molecule can't have a charge and a
// multiplicity, or that its SMILES has another charge. It is true for a SMILES that can't be read
// here. embed.py says the same in the same words.
func PossibleState(smiles string, charge, multiplicity int) (bool, error) {
	m, err := ReadSMILES(smiles)
	if err != nil {
		return true, nil
	}
	electrons, unpaired := m.electrons(charge), multiplicity-1
	fits := unpaired >= 0 && unpaired <= electrons && (electrons-unpaired)%2 == 0
	differs := fmt.Sprintf("he SMILES has charge %s; the row says %s", signed(m.Charge()),
		signed(charge))
	state := fmt.Sprintf("%d electrons can't form %s", electrons, stateName(multiplicity))
	switch {
	case fits && m.Charge() == charge:
		return true, nil
	case fits:
		return false, errors.New("t" + differs)
	case m.Charge() == charge:
		return false, errors.New(state)
	}
	return false, errors.New(state + ". T" + differs)
}

// signed is a charge as a chemist writes it: 0, +1, -2.
func signed(charge int) string {
	if charge == 0 {
		return "0"
	}
	return fmt.Sprintf("%+d", charge)
}

func stateName(multiplicity int) string {
	if multiplicity < 1 || multiplicity > len(spinWords) {
		return fmt.Sprintf("a state of multiplicity %d", multiplicity)
	}
	name := strings.ToLower(spinWords[multiplicity-1])
	if name == "octet" {
		return "an " + name
	}
	return "a " + name
}

// RotatableBonds counts the single bonds of a SMILES outside of rings. Both atoms have further
// neighbours and no triple bond, as in RDKit's definition NonStrict. It is nil when the SMILES
// can't be read here.
func RotatableBonds(smiles string) *int {
	atoms, err := parseSMILES(smiles)
	if err != nil {
		return nil
	}
	triple := make([]bool, len(atoms))
	for i := len(atoms) - 1; i >= 0; i-- { // what is bonded to an atom in the tree stands behind it
		if a := atoms[i]; a.parent >= 0 {
			atoms[a.parent].rings ^= a.rings
			if a.bond == 3 {
				triple[i], triple[a.parent] = true, true
			}
		}
	}
	n := 0
	for i, a := range atoms {
		if a.parent >= 0 && a.bond <= 1 && a.rings == 0 && !triple[i] && !triple[a.parent] &&
			a.heavy > 1 && atoms[a.parent].heavy > 1 {
			n++
		}
	}
	return &n
}

// ElementsOf returns the elements of a SMILES by atomic number, without hydrogen; none when the
// SMILES can't be read here.
func ElementsOf(smiles string) (out []Element) {
	atoms, err := parseSMILES(smiles)
	if err != nil {
		return nil
	}
	for _, a := range atoms {
		same := func(e Element) bool { return e.Number == a.element.Number }
		if a.element.Number > 1 && !slices.ContainsFunc(out, same) {
			out = append(out, a.element)
		}
	}
	slices.SortFunc(out, func(a, b Element) int { return a.Number - b.Number })
	return out
}
