package stages

import "strings"

// Element is what the parsers know of a chemical element.
type Element struct {
	Symbol string
	Number int
	// Mass is the standard atomic weight in u, or that of the longest-lived isotope.
	Mass float64
	// Radius is the covalent radius in Å (Cordero et al., doi 10.1039/b801115j).
	Radius float64
}

// ElementByNumber returns the element of an atomic number, false beyond 1 (H) to 86 (Rn).
func ElementByNumber(number int) (Element, bool) {
	if number < 1 || number > len(elements) {
		return Element{}, false
	}
	e := elements[number-1]
	e.Number = number
	return e, true
}

// ElementBySymbol returns the element of a symbol in any letter case, false beyond radon.
func ElementBySymbol(symbol string) (Element, bool) {
	if number := numbersBySymbol[symbol]; number > 0 { // as it is written nearly always
		return ElementByNumber(number)
	}
	for i := range elements {
		if strings.EqualFold(elements[i].Symbol, symbol) {
			return ElementByNumber(i + 1)
		}
	}
	return Element{}, false
}

var numbersBySymbol = func() map[string]int {
	numbers := make(map[string]int, len(elements))
	for i, e := range elements {
		numbers[e.Symbol] = i + 1
	}
	return numbers
}()

// elements holds hydrogen to radon in order; the atomic number is the index plus one. Masses are
// the abridged IUPAC standard atomic weights. Of the radii that the paper gives twice, carbon has
// that of sp3, and Mn, Fe, Co the low-spin ones.
var elements = [...]Element{
	{"H", 0, 1.008, 0.31}, {"He", 0, 4.0026, 0.28}, {"Li", 0, 6.94, 1.28},
	{"Be", 0, 9.0122, 0.96}, {"B", 0, 10.81, 0.84}, {"C", 0, 12.011, 0.76},
	{"N", 0, 14.007, 0.71}, {"O", 0, 15.999, 0.66}, {"F", 0, 18.998, 0.57},
	{"Ne", 0, 20.180, 0.58}, {"Na", 0, 22.990, 1.66}, {"Mg", 0, 24.305, 1.41},
	{"Al", 0, 26.982, 1.21}, {"Si", 0, 28.085, 1.11}, {"P", 0, 30.974, 1.07},
	{"S", 0, 32.06, 1.05}, {"Cl", 0, 35.45, 1.02}, {"Ar", 0, 39.948, 1.06},
	{"K", 0, 39.098, 2.03}, {"Ca", 0, 40.078, 1.76}, {"Sc", 0, 44.956, 1.70},
	{"Ti", 0, 47.867, 1.60}, {"V", 0, 50.942, 1.53}, {"Cr", 0, 51.996, 1.39},
	{"Mn", 0, 54.938, 1.39}, {"Fe", 0, 55.845, 1.32}, {"Co", 0, 58.933, 1.26},
	{"Ni", 0, 58.693, 1.24}, {"Cu", 0, 63.546, 1.32}, {"Zn", 0, 65.38, 1.22},
	{"Ga", 0, 69.723, 1.22}, {"Ge", 0, 72.630, 1.20}, {"As", 0, 74.922, 1.19},
	{"Se", 0, 78.971, 1.20}, {"Br", 0, 79.904, 1.20}, {"Kr", 0, 83.798, 1.16},
	{"Rb", 0, 85.468, 2.20}, {"Sr", 0, 87.62, 1.95}, {"Y", 0, 88.906, 1.90},
	{"Zr", 0, 91.224, 1.75}, {"Nb", 0, 92.906, 1.64}, {"Mo", 0, 95.95, 1.54},
	{"Tc", 0, 97, 1.47}, {"Ru", 0, 101.07, 1.46}, {"Rh", 0, 102.91, 1.42},
	{"Pd", 0, 106.42, 1.39}, {"Ag", 0, 107.87, 1.45}, {"Cd", 0, 112.41, 1.44},
	{"In", 0, 114.82, 1.42}, {"Sn", 0, 118.71, 1.39}, {"Sb", 0, 121.76, 1.39},
	{"Te", 0, 127.60, 1.38}, {"I", 0, 126.90, 1.39}, {"Xe", 0, 131.29, 1.40},
	{"Cs", 0, 132.91, 2.44}, {"Ba", 0, 137.33, 2.15}, {"La", 0, 138.91, 2.07},
	{"Ce", 0, 140.12, 2.04}, {"Pr", 0, 140.91, 2.03}, {"Nd", 0, 144.24, 2.01},
	{"Pm", 0, 145, 1.99}, {"Sm", 0, 150.36, 1.98}, {"Eu", 0, 151.96, 1.98},
	{"Gd", 0, 157.25, 1.96}, {"Tb", 0, 158.93, 1.94}, {"Dy", 0, 162.50, 1.92},
	{"Ho", 0, 164.93, 1.92}, {"Er", 0, 167.26, 1.89}, {"Tm", 0, 168.93, 1.90},
	{"Yb", 0, 173.05, 1.87}, {"Lu", 0, 174.97, 1.87}, {"Hf", 0, 178.49, 1.75},
	{"Ta", 0, 180.95, 1.70}, {"W", 0, 183.84, 1.62}, {"Re", 0, 186.21, 1.51},
	{"Os", 0, 190.23, 1.44}, {"Ir", 0, 192.22, 1.41}, {"Pt", 0, 195.08, 1.36},
	{"Au", 0, 196.97, 1.36}, {"Hg", 0, 200.59, 1.32}, {"Tl", 0, 204.38, 1.45},
	{"Pb", 0, 207.2, 1.46}, {"Bi", 0, 208.98, 1.48}, {"Po", 0, 209, 1.40},
	{"At", 0, 210, 1.50}, {"Rn", 0, 222, 1.50},
}
