package csvmerge

import (
	"cmp"
	"fmt"
	"regexp"
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
	head, rest, blank := strings.TrimSpace(text), "", "blank"
	text = head
	if at := strings.IndexAny(text, " \t"); at >= 0 {
		if head, rest = text[:at], strings.TrimLeft(text[at:], " \t"); text[at] == '\t' {
			blank = "tab"
		}
	}
	foreign := strings.IndexFunc(text, func(r rune) bool { return r < ' ' && r != '\t' || r >= 0x7f })
	switch {
	case foreign >= 0 && (foreign < len(head) || !lexesAsSMILES(head)):
		return "", "", characterProblem(text, foreign)
	case rest == "" || !lexesAsSMILES(head): // RDKit refuses the head: nothing is left out in silence
		return text, "", ""
	case isName(head, rest):
		return head, rest, ""
	}
	return "", "", fmt.Sprintf("the SMILES has a %s as its %s character, and %q may be part of the "+
		"molecule; remove the %[1]s, or move what is a name to another column",
		blank, ordinal(len(head)+1), shortened(rest))
}

// characterProblem names the character at an offset, its place and what to write for it.
func characterProblem(text string, offset int) string {
	r, _ := utf8.DecodeRuneInString(text[offset:])
	problem := fmt.Sprintf("the SMILES has %q (%s, U+%04X) as its %s character", string(r),
		runenames.Name(r), r, ordinal(utf8.RuneCountInString(text[:offset])+1))
	switch instead := instead(r); {
	case instead != "":
		return problem + "; write " + instead
	case unicode.IsLetter(r) || unicode.IsNumber(r):
		return problem + "; a SMILES has only plain (ASCII) letters, digits and signs"
	}
	return problem + "; remove it"
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
	plain := cmp.Or(lookAlikes[r], strings.TrimSpace(norm.NFKC.String(string(r))))
	if plain == "" || strings.ContainsFunc(plain, func(r rune) bool { return r < ' ' || r >= 0x7f }) {
		return ""
	}
	if c := plain[len(plain)-1]; 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' {
		return "the Latin " + plain
	}
	return plain
}

func ordinal(n int) string {
	suffix := "th"
	if n/10%10 != 1 && n%10 < 4 {
		suffix = [...]string{"th", "st", "nd", "rd"}[n%10]
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

// sign is one sign of a SMILES.
const sign = `\[[^\]]+\]|%\([0-9]+\)|%[0-9]{2}|Cl|Br|->|<-|[BCNOPSFIbcnops*()=#$:/\\~.0-9-]`

var (
	signs    = regexp.MustCompile(sign)
	allSigns = regexp.MustCompile("^(?:" + sign + ")*$")
)

// lexesAsSMILES reports whether a text consists of the signs of a SMILES, in whatever order.
func lexesAsSMILES(text string) bool { return allSigns.MatchString(text) }

// readsAsSMILES reports whether a text has the form of a whole SMILES: all of its branches and
// rings are closed, and it ends in no bond. It is no judge of valences.
func readsAsSMILES(text string) bool {
	atoms, depth, bond := 0, 0, false
	rings := map[string]bool{} // those that are open
	for _, token := range signs.FindAllString(text, -1) {
		bond = false
		switch c := token[0]; {
		case c == '(':
			depth++
		case c == ')':
			if depth--; depth < 0 {
				return false
			}
		case c == '%' || '0' <= c && c <= '9':
			number := strings.TrimLeft(strings.Trim(token, "%()"), "0")
			if rings[number] {
				delete(rings, number)
			} else {
				rings[number] = true
			}
		case strings.IndexByte(`-=#$:/\~.<`, c) >= 0:
			bond = true
		default:
			atoms++
		}
	}
	return lexesAsSMILES(text) && atoms > 0 && depth == 0 && len(rings) == 0 && !bond
}
