package journal

import "bytes"

// Skim is Each for the first look at a long batch: it gives what a State needs, and decodes little
// else. Targets of a molecule that has its final row are passed over. The rows come first, in any
// order. The newest ones are whole: so many that are OK, and so many others. The rest lacks values
// and inputs. All other events follow in their order.
func (r *Reader) Skim(newest int, see func(Event)) error {
	s := &skim{newest: newest, see: r.only(see), open: map[string]int64{}, others: -1}
	s.starts = r.only(s.start)
	err := r.lines(func(line []byte) { s.add(line, r.offset) })
	if err != nil {
		return err
	}
	for _, rows := range s.rows {
		for _, row := range rows {
			see(decode(row.line))
		}
	}
	return s.again(r.path, r.offset)
}

// skim is what Skim has seen of the last batch.
type skim struct {
	newest int
	see    func(Event)
	starts func(Event) // start, of batches that count
	batch  string
	open   map[string]int64 // offset of the first line of a molecule that is not finished
	others int64            // offset of the first line about no molecule, -1 for none
	rows   [2][]newRow      // the newest rows, the oldest first: OK, and not OK
}

// newRow is a row with its line.
type newRow struct {
	head Event // without values
	line []byte
}

// add takes in a line at an offset.
func (s *skim) add(line []byte, at int64) {
	switch string(word(line, `"event":"`)) {
	case TargetStart, TargetEnd:
		s.unfinished(line, at)
	case Row:
		s.row(line, at)
	case BatchStart:
		if e := decode(line); e.Event == BatchStart {
			s.starts(e)
		}
	default:
		if s.others < 0 {
			s.others = at
		}
	}
}

// start forgets all that came before a batch.
func (s *skim) start(e Event) {
	s.batch, s.others, s.rows = e.Batch, -1, [2][]newRow{}
	clear(s.open)
	s.see(e)
}

func (s *skim) unfinished(line []byte, at int64) {
	mol := word(line, `"mol":"`)
	if _, known := s.open[string(mol)]; !known {
		s.open[string(mol)] = at
	}
}

func (s *skim) row(line []byte, at int64) {
	e := decode(withoutValues(line))
	switch {
	case e.Event == "" || e.Batch != s.batch: // damage; a batch that State passes over
		return
	case e.Retry:
		s.unfinished(line, at)
		return
	}
	delete(s.open, string(word(line, `"mol":"`)))
	rows := &s.rows[0]
	if e.Outcome != "OK" {
		rows = &s.rows[1]
	}
	if len(*rows) == s.newest {
		s.see((*rows)[0].head)
		*rows = (*rows)[1:]
	}
	*rows = append(*rows, newRow{e, bytes.Clone(line)})
}

// again gives what is neither a final row nor of a finished molecule, up to an offset.
func (s *skim) again(path string, to int64) error {
	at := to
	if s.others >= 0 {
		at = s.others
	}
	for _, since := range s.open {
		at = min(at, since)
	}
	see, r := events(s.see), &Reader{path: path, offset: at}
	return r.lines(func(line []byte) {
		if r.offset < to && s.matters(line, r.offset) {
			see(line)
		}
	})
}

// matters says whether a line is neither a final row nor of a molecule that was finished later.
func (s *skim) matters(line []byte, at int64) bool {
	switch string(word(line, `"event":"`)) {
	case TargetStart, TargetEnd, Row:
		since, open := s.open[string(word(line, `"mol":"`))]
		return open && at >= since
	}
	return true
}

// word is the text behind the first name of a line; such a name within a text has escaped quotes.
func word(line []byte, name string) []byte {
	_, rest, _ := bytes.Cut(line, []byte(name))
	text, _, _ := bytes.Cut(rest, []byte(`"`))
	return text
}

// withoutValues is the line of a row without its values and inputs, which are most of it. A line
// that may have been cut off stays as it is: it ends in the middle of a text or of the event.
func withoutValues(line []byte) []byte {
	const end = "\"}}\n"
	head, _, found := bytes.Cut(line, []byte(`,"values":{`))
	if !found || !bytes.HasSuffix(line, []byte(end)) ||
		// the quote begins a text
		bytes.IndexByte([]byte(`:,{\`), line[len(line)-len(end)-1]) >= 0 {
		return line
	}
	return append(bytes.Clone(head), '}')
}
