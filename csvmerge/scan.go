package csvmerge

import (
	"bytes"
	"strings"
)

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
	for {
		quoted := pos < len(buf) && buf[pos] == '"'
		if quoted {
			end := closingQuote(buf, pos)
			if end < 0 {
				return 0, &syntaxError{pos, `a quote is opened here and never closed; close it, or write "" for a quote inside a cell`}
			}
			pos = end + 1
			if pos < len(buf) && buf[pos] == '\r' && (pos+1 == len(buf) || buf[pos+1] == '\n') {
				pos++
			}
		}
		for ; pos < len(buf) && buf[pos] != ',' && buf[pos] != '\n'; pos++ {
			if quoted {
				return 0, &syntaxError{pos, `text follows a closing quote; write "" for a quote inside a quoted cell`}
			}
			if buf[pos] == '"' {
				return 0, &syntaxError{pos, `a quote inside a cell that does not start with one; put the cell in quotes and write "" for the quote`}
			}
		}
		if pos == len(buf) || buf[pos] == '\n' {
			return pos, nil
		}
		pos++ // the comma
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

// cutCell splits the first cell, quotes and all, off a record that nextRecord has accepted.
// more is false when it was the last one.
func cutCell(record []byte) (cell, rest []byte, more bool) {
	end := 0
	if len(record) > 0 && record[0] == '"' {
		end = closingQuote(record, 0) + 1
	} else if end = bytes.IndexByte(record, ','); end < 0 {
		end = len(record)
	}
	if end == len(record) {
		return record, nil, false
	}
	return record[:end], record[end+1:], true
}

// unquote returns the text of a cell. As encoding/csv does, it reads a line ending inside quotes as "\n".
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
