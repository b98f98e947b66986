package pipeline

import "github.com/zclconf/go-cty/cty"

// Validates reports whether the stage has a validate attribute: its worker says, before a batch,
// what is wrong with a row.
func (s *Stage) Validates() bool { return s.validate != nil }

// Question evaluates what the stage's worker is asked about the row: the words of validate, the
// stage's source files, its environment. It names no results, for nothing has run. It is no part of
// a target: an edit makes nothing stale.
func (m *Molecule) Question(s *Stage) (*Task, error) {
	t, used := &Task{}, &uses{}
	for _, f := range s.files {
		if f.source == nil {
			continue
		}
		tf, err := m.file(f, nil, used)
		if err != nil {
			return nil, err
		}
		t.Files = append(t.Files, tf)
	}
	if err := m.env(t, s, m.scope(s, 0, 0), used); err != nil {
		return nil, err
	}
	v, err := m.value(s.validate, nil, cty.List(cty.String))
	if err != nil {
		return nil, err
	}
	t.Argv, err = m.words(s.validate, v)
	return t, err
}
