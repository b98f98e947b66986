package csvmerge

import (
	"bytes"
	"fmt"
	"iter"
	"strings"
	"unicode"
)

var newline = []byte{'\n'}

// syntaxError is a place where RFC 4180 is broken.
type syntaxError struct {
	offset  int
	problem string
}

// nextRecord finds the end of the record that starts at start: end is after its last byte without
// the line ending, next is where the following line starts. It accepts what encoding/csv accepts.
func nextRecord(buf []byte, start int) (end, next int, bad *syntaxError) {
	stop := len(buf)
	if n := bytes.IndexByte(buf[start:], '\n'); n >= 0 {
		stop = start + n
	}
	if bytes.IndexByte(buf[start:stop], '"') >= 0 {
		if stop, bad = quotedRecord(buf, start); bad != nil {
			return 0, 0, bad
		}
	}
	end, next = stop, min(stop+1, len(buf))
	if end > start && buf[end-1] == '\r' {
		end--
	}
	return end, next, nil
}

// quotedRecord walks over a record that has quotes in it, to its newline or the end of the file.
func quotedRecord(buf []byte, pos int) (stop int, bad *syntaxError) {
	for ; ; pos++ { // from comma to comma
		start := pos
		if pos == len(buf) || buf[pos] != '"' {
			for pos < len(buf) && bytes.IndexByte([]byte(",\n\""), buf[pos]) < 0 {
				pos++
			}
			if pos < len(buf) && buf[pos] == '"' {
				return 0, &syntaxError{pos, "a quote inside a cell that does not start with one; " +
					`put the cell in quotes and write "" for the quote`}
			}
		} else if pos = closingQuote(buf, pos) + 1; pos == 0 {
			return 0, &syntaxError{start, "a quote is opened here and never closed; close it, " +
				`or write "" for a quote inside a cell`}
		} else if rest := buf[pos:]; string(rest) == "\r" || bytes.HasPrefix(rest, []byte("\r\n")) {
			pos++
		}
		breaks := bytes.Count(buf[start:pos], newline)
		switch {
		case pos == len(buf) || buf[pos] == '\n':
			return pos, nil
		case buf[pos] == ',':
		case breaks > 0: // a quote that was never closed ends at the next one, on whatever line
			return 0, &syntaxError{start, fmt.Sprintf("a quote is opened here, and the next one, "+
				"%d lines below, closes it in the middle of a cell; close it on its own line", breaks)}
		default:
			return 0, &syntaxError{pos, "text follows a closing quote; " +
				`write "" for a quote inside a quoted cell`}
		}
	}
}

// closingQuote returns the offset of the quote that closes the one at pos, or -1.
func closingQuote(buf []byte, pos int) int {
	for i := pos + 1; ; i += 2 {
		n := bytes.IndexByte(buf[i:], '"')
		if n < 0 {
			return -1
		}
		i += n
		if i+1 == len(buf) || buf[i+1] != '"' {
			return i
		}
	}
}

// isBlank reports whether a record has no text in any cell: spreadsheets write deleted rows so.
func isBlank(record []byte) bool {
	blank := func(r rune) bool { return r == ',' || r == '"' || unicode.IsSpace(r) }
	return len(bytes.TrimLeftFunc(record, blank)) == 0
}

// cells are the cells of a record that nextRecord has accepted, quotes and all, by their number.
func cells(record []byte) iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		for k := 0; ; k++ {
			end := 0
			if len(record) > 0 && record[0] == '"' {
				end = closingQuote(record, 0) + 1
			} else if end = bytes.IndexByte(record, ','); end < 0 {
				end = len(record)
			}
			if !yield(k, record[:end]) || end == len(record) {
				return
			}
			record = record[end+1:]
		}
	}
}

// unquote returns the text of a cell. As encoding/csv does, it reads a line ending inside quotes as
// "\n".
func unquote(cell []byte) string {
	if len(cell) < 2 || cell[0] != '"' {
		return string(cell)
	}
	text := strings.ReplaceAll(string(cell[1:len(cell)-1]), `""`, `"`)
	return strings.ReplaceAll(text, "\r\n", "\n")
}

// quote returns a cell that holds the text, in quotes only where RFC 4180 needs them.
func quote(text string) string {
	if !strings.ContainsAny(text, ",\"\r\n") {
		return text
	}
	return `"` + strings.ReplaceAll(text, `"`, `""`) + `"`
}
