package progress

import (
	"regexp"
	"strings"

	"github.com/cheggaaa/pb/v3"

	"grimperium/internal/command"
)

// unbroken is a command line of this program. It stays on one line, so that it can be copied.
var unbroken = func() *regexp.Regexp {
	const flag = `( (-[^\s']*'[^']*'|'-[^']*'|-\S+))`
	name := `\b` + command.Name + ` `
	return regexp.MustCompile(name + `(why|rerun|history) \S+` + flag + `*|` +
		name + `[a-z]+( \S+)?` + flag + `+|` + name + `[a-z]+`)
}()

// wrap breaks lines at blanks, so that each has less cells than a terminal's width. What goes on is
// indented by four more cells than the line. A word that has no room stays whole.
func wrap(text string, width int) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		indent := strings.Repeat(" ", len(line)-len(strings.TrimLeft(line, " "))+4)
		for pb.CellCount(strings.TrimRight(line, "\n")) >= width {
			at := lastBreak(line, width)
			if at < 0 {
				break
			}
			b.WriteString(strings.TrimRight(line[:at], " ") + "\n")
			line = indent + strings.TrimLeft(line[at:], " ")
		}
		b.WriteString(line)
	}
	return b.String()
}

// lastBreak is the last blank up to which a line has room, or else its first blank. It is -1 if
// there is none between two words.
func lastBreak(line string, width int) int {
	whole, at := unbroken.FindAllStringIndex(line, -1), -1
	for i := len(line) - len(strings.TrimLeft(line, " ")) + 1; i < len(line); i++ {
		for len(whole) > 0 && i >= whole[0][1] {
			whole = whole[1:]
		}
		isInside := len(whole) > 0 && i > whole[0][0]
		if line[i] != ' ' || line[i-1] == ' ' || isInside {
			continue
		}
		if at >= 0 && pb.CellCount(line[:i]) >= width {
			break
		}
		at = i
	}
	return at
}
