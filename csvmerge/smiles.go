package csvmerge

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
	"golang.org/x/text/unicode/runenames"
)

// SplitSMILES splits the text of a SMILES cell into the SMILES and what follows it behind a blank
// or a tab: a name or CXSMILES. problem says why the cell can't be used: RDKit would stop at a
// character and leave out the rest of the molecule. All else that may be wrong is left to RDKit.
func SplitSMILES(text string) (smiles, name, problem string) {
	text = strings.TrimSpace(text)
	for i, r := range text {
		switch {
		case r == ' ' || r == '\t':
			head, rest := text[:i], strings.TrimLeft(text[i:], " \t")
			switch {
			case !lexesAsSMILES(head): // RDKit refuses the head, so that nothing is left out in silence
				return text, "", asciiProblem(text)
			case isName(head, rest):
				return head, rest, ""
			}
			return "", "", fmt.Sprintf("the SMILES has a %s as its %s character, and %q may be part of "+
				"the molecule; remove the %[1]s, or move what is a name to another column",
				blankName(r), ordinal(i+1), shortened(rest))
		case r < ' ' || r >= 0x7f:
			return "", "", characterProblem(text[:i], r)
		}
	}
	return text, "", ""
}

// asciiProblem names the first character that no SMILES may have, blanks aside.
func asciiProblem(text string) string {
	for i, r := range text {
		if (r < ' ' && r != '\t' && r != '\n' && r != '\r') || r >= 0x7f {
			return characterProblem(text[:i], r)
		}
	}
	return ""
}

func blankName(r rune) string {
	if r == '\t' {
		return "tab"
	}
	return "blank"
}

// characterProblem names a character, its place and what to write for it.
func characterProblem(before string, r rune) string {
	place := ordinal(utf8.RuneCountInString(before) + 1)
	problem := fmt.Sprintf("the SMILES has %s as its %s character", characterName(r), place)
	switch instead := instead(r); {
	case instead != "":
		return problem + "; write " + instead
	case unicode.IsLetter(r) || unicode.IsNumber(r):
		return problem + "; a SMILES has only plain (ASCII) letters, digits and signs"
	}
	return problem + "; remove it"
}

// characterName is how a sentence names a character: "an en dash (U+2013)",
// `"α" (Greek small letter alpha, U+03B1)`.
func characterName(r rune) string {
	code := fmt.Sprintf("U+%04X", r)
	switch r {
	case 0:
		return "a NUL character (" + code + ")"
	case '\n', '\r':
		return "a line break (" + code + ")"
	case 0x7f:
		return "a delete character (" + code + ")"
	case 0xfeff:
		return "a byte order mark (" + code + ")"
	}
	name := strings.ToLower(runenames.Name(r))
	if unicode.IsControl(r) || name == "" || strings.HasPrefix(name, "<") {
		return "a control or unassigned character (" + code + ")"
	}
	name = strings.NewReplacer("greek", "Greek", "cyrillic", "Cyrillic", "latin", "Latin").Replace(name)
	if unicode.IsPrint(r) && !unicode.Is(unicode.Pd, r) {
		return fmt.Sprintf("%q (%s, %s)", string(r), name, code)
	}
	if strings.ContainsRune("aeiou", rune(name[0])) {
		return "an " + name + " (" + code + ")"
	}
	return "a " + name + " (" + code + ")"
}

// lookAlikes are what to write for signs and letters that look like one of a SMILES, beside those
// that normalisation (NFKC) turns into it.
var lookAlikes = map[rune]string{
	'\u2010': "-", '\u2011': "-", '\u2212': "-", // hyphens, minus sign
	'\u2012': "- or =", '\u2013': "- or =", '\u2014': "- or =", '\u2015': "- or =", // dashes
	'≡': "#", '═': "=", '∕': "/", '⁄': "/", '∖': `\`, '·': ".", '•': ".", '∙': ".", '⋅': ".",
	'→': "->", '←': "<-",
	'Β': "B", 'Ν': "N", 'Ο': "O", 'Ρ': "P", 'Ι': "I", 'Η': "H", // Greek
	'С': "C", 'О': "O", 'Р': "P", 'Ѕ': "S", 'В': "B", 'І': "I", 'Н': "H", // Cyrillic
	'с': "c", 'о': "o", 'р': "p", 'ѕ': "s",
}

// instead is what to write for a character, "" where nothing looks like it.
func instead(r rune) string {
	plain, ok := lookAlikes[r]
	if !ok {
		plain = norm.NFKC.String(string(r)) // full-width letters, raised and lowered digits
		foreign := func(r rune) bool { return r <= ' ' || r >= 0x7f }
		if plain == "" || strings.ContainsFunc(plain, foreign) {
			return ""
		}
	}
	if c := plain[len(plain)-1]; 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' {
		return "the Latin " + plain
	}
	return plain
}

func ordinal(n int) string {
	suffix := "th"
	if n/10%10 != 1 {
		switch n % 10 {
		case 1:
			suffix = "st"
		case 2:
			suffix = "nd"
		case 3:
			suffix = "rd"
		}
	}
	return fmt.Sprintf("%d%s", n, suffix)
}

func shortened(text string) string {
	if runes := []rune(text); len(runes) > 40 {
		return string(runes[:40]) + "…"
	}
	return text
}

// isName reports whether what follows a SMILES behind a blank can be no part of the molecule.
func isName(smiles, rest string) bool {
	if strings.HasPrefix(rest, "|") {
		return true // CXSMILES
	}
	if !readsAsSMILES(smiles) {
		return false
	}
	words := strings.Fields(rest)
	for n := range words {
		joined := strings.Join(words[:n+1], "")
		if readsAsSMILES(joined) || readsAsSMILES(smiles+joined) {
			return false
		}
	}
	return true
}

// readsAsSMILES reports whether a text has the form of a whole SMILES: all of its branches and
// rings are closed, and it ends in no bond. It is no judge of valences.
func readsAsSMILES(text string) bool {
	s := scanSMILES(text)
	return s.lexes && s.atoms > 0 && s.depth == 0 && s.rings == 0 && !s.bond
}

// lexesAsSMILES reports whether a text consists of the signs of a SMILES, in whatever order.
func lexesAsSMILES(text string) bool { return scanSMILES(text).lexes }

// smilesScan is what scanSMILES finds.
type smilesScan struct {
	lexes bool // all of it are signs of a SMILES
	atoms int
	depth int  // branches that are open
	rings int  // rings that are open
	bond  bool // it ends in a bond or a dot
}

func scanSMILES(text string) smilesScan {
	var s smilesScan
	open := map[string]bool{}
	for text != "" {
		token := smilesToken(text)
		if token == "" {
			return s
		}
		text = text[len(token):]
		c := token[0]
		bond := false
		switch {
		case c == '(':
			s.depth++
		case c == ')':
			s.depth--
		case c == '%' || '0' <= c && c <= '9':
			number := strings.TrimLeft(strings.Trim(token, "%()"), "0")
			if open[number] = !open[number]; open[number] {
				s.rings++
			} else {
				s.rings--
			}
		case strings.IndexByte(`-=#$:/\~.<`, c) >= 0:
			bond = true
		default:
			s.atoms++
		}
		if s.depth < 0 {
			s.depth = 1 << 20 // a branch that nothing opened: the text reads as no SMILES, whatever follows
		}
		s.bond = bond
	}
	s.lexes = true
	return s
}

// smilesToken returns the first sign of a SMILES, "" where the text starts with none.
func smilesToken(text string) string {
	switch c := text[0]; {
	case c == '[':
		if end := strings.IndexByte(text, ']'); end > 1 {
			return text[:end+1]
		}
		return ""
	case c == '%':
		if inner, ok := strings.CutPrefix(text, "%("); ok {
			if end := strings.IndexByte(inner, ')'); end > 0 && digits(inner[:end]) {
				return text[:end+3]
			}
			return ""
		}
		if len(text) >= 3 && digits(text[1:3]) {
			return text[:3]
		}
		return ""
	case len(text) > 1 && slices.Contains([]string{"Cl", "Br", "->", "<-"}, text[:2]):
		return text[:2]
	case strings.IndexByte(`BCNOPSFIbcnops*()-=#$:/\~.0123456789`, c) >= 0:
		return text[:1]
	}
	return ""
}

func digits(text string) bool {
	return strings.Trim(text, "0123456789") == ""
}
