package crash

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// node is a file or a folder, whatever names it has.
type node struct {
	kids map[string]int // of a folder: names to nodes; nil for a file
	data []byte
}

// place is a name in a folder.
type place struct {
	dir  int // a node, or nowhere
	name string
}

const nowhere = -1

// op is one recorded operation.
type op struct {
	kind     kind
	node     int
	from, to place  // of a move
	data     []byte // of a write
	began    int    // of a flush: it covers the operations that were complete when it began
}

type kind int

const (
	move     kind = iota // makes a name (from nowhere), removes one (to nowhere), or renames
	write                // at the end of a file
	flush                // of one file or folder
	flushAll             // of the whole file system
)

// disk is what was recorded, and what the disk holds if nothing is lost. Node 0 is the project.
type disk struct {
	nodes []node // as they are now
	first []node // as they were when the recording began; all of it is durable
	ops   []op
}

func (d *disk) lookup(path string) int {
	n := 0
	for part := range strings.SplitSeq(path, "/") {
		if part == "." || part == "" {
			continue
		}
		next, ok := d.nodes[n].kids[part]
		if !ok {
			return nowhere
		}
		n = next
	}
	return n
}

// content is the present content of a file, nil if it is missing.
func (d *disk) content(path string) []byte {
	if n := d.lookup(path); n != nowhere {
		return d.nodes[n].data
	}
	return nil
}

// add does an operation and records it.
func (d *disk) add(o op) {
	d.ops = append(d.ops, o)
	switch o.kind {
	case move:
		rename(d.nodes, o)
	case write:
		n := &d.nodes[o.node]
		n.data = slices.Concat(n.data, o.data)
	}
}

func rename(nodes []node, o op) {
	if o.from.dir != nowhere {
		delete(nodes[o.from.dir].kids, o.from.name)
	}
	if o.to.dir != nowhere {
		nodes[o.to.dir].kids[o.to.name] = o.node
	}
}

// folders are those whose names a move changes.
func (o op) folders() []int {
	dirs := []int{o.from.dir, o.to.dir}
	return slices.Compact(slices.DeleteFunc(dirs, func(d int) bool { return d == nowhere }))
}

// names says which names a flush makes durable.
type names int

const (
	// inOrder: ext4, XFS. A flush commits the journal, with all that happened to any folder before
	// the last change of what is flushed.
	inOrder names = iota
	// byFolder: a flush of a folder makes its names durable. A flush of a file makes its own name
	// durable, and the names of the folders above it.
	byFolder
	// byPOSIX: a flush of a folder makes its names durable, and nothing else does.
	byPOSIX
	modes
)

// cutter makes the states in which a disk may be after a power cut. It goes through the operations
// once, forwards.
type cutter struct {
	*disk
	p       int           // operations that were done before the cut
	data    []int         // by node: writes before this operation are durable
	durable [modes][]bool // by operation: the move is durable
	folder  map[int][]int // by folder: its moves so far
	named   map[int][]int // by node: its moves so far
	writes  map[int][]int // by node: its writes so far
	last    map[int]int   // by node: its last operation
	parent  map[int]int   // by node: the folder that it is in
}

func newCutter(d *disk) *cutter {
	c := &cutter{disk: d, data: make([]int, len(d.nodes)), folder: map[int][]int{},
		named: map[int][]int{}, writes: map[int][]int{}, last: map[int]int{}, parent: map[int]int{}}
	for m := range c.durable {
		c.durable[m] = make([]bool, len(d.ops))
	}
	return c
}

// next goes on by one operation, and is false at the end.
func (c *cutter) next() bool {
	if c.p == len(c.ops) {
		return false
	}
	o := c.ops[c.p]
	switch o.kind {
	case move:
		for _, dir := range o.folders() {
			c.folder[dir] = append(c.folder[dir], c.p)
			c.last[dir] = c.p
		}
		c.named[o.node] = append(c.named[o.node], c.p)
		c.parent[o.node], c.last[o.node] = o.to.dir, c.p
	case write:
		c.writes[o.node] = append(c.writes[o.node], c.p)
		c.last[o.node] = c.p
	case flush:
		c.flush(o.node, o.began)
	case flushAll:
		for n := range c.data {
			c.data[n] = max(c.data[n], o.began)
		}
		for m := range modes {
			c.settle(m, o.began)
		}
	}
	c.p++
	return true
}

func (c *cutter) flush(n, began int) {
	c.data[n] = max(c.data[n], began)
	if last, ok := c.last[n]; ok {
		c.settle(inOrder, min(last+1, began))
	}
	for _, m := range []names{byFolder, byPOSIX} {
		for _, i := range c.folder[n] {
			c.mark(m, i, began)
		}
	}
	for ; n > 0; n = c.parent[n] {
		for _, i := range c.named[n] {
			c.mark(byFolder, i, began)
		}
		if _, moved := c.parent[n]; !moved {
			break // it was there from the beginning
		}
	}
}

// settle makes all moves before an operation durable.
func (c *cutter) settle(m names, before int) {
	for i := range before {
		c.durable[m][i] = true
	}
}

// mark makes a move durable, with all that happened in its folders before. The order within a
// folder is kept. A rename is in both folders or in none, and its new folder is there.
func (c *cutter) mark(m names, i, before int) {
	if i >= before || c.durable[m][i] {
		return
	}
	c.durable[m][i] = true
	dirs := c.ops[i].folders()
	for _, dir := range dirs {
		if at := c.named[dir]; len(at) > 0 && (m == byFolder || len(dirs) == 2) {
			c.mark(m, at[0], before)
		}
		for _, earlier := range c.folder[dir] {
			if earlier < i {
				c.mark(m, earlier, before)
			}
		}
	}
}

// policy is one way to lose what is not durable.
type policy struct {
	name  string
	names names
	moves func(c *cutter, m names, rnd *rand.Rand) []bool // those that survive
	data  fate
}

// fate is what becomes of what was written to a file and not flushed.
type fate int

const (
	whole fate = iota // it is there
	none              // it is lost; so is the size
	zeros             // the size is there, the bytes are zero
	torn              // a part of it is there
	mixed             // one of these, by chance, for each file
)

var policies = []policy{
	{"crash", inOrder, upTo(0), whole},
	{"names, no data", inOrder, upTo(0), none},
	{"names, zeros", inOrder, upTo(0), zeros},
	{"data, without the last name", inOrder, upTo(1), whole},
	{"data, without the last 2 names", inOrder, upTo(2), whole},
	{"data, without the last 5 names", inOrder, upTo(5), whole},
	{"only the durable, in order", inOrder, onlyDurable, none},
	{"only the durable, by folder", byFolder, onlyDurable, none},
	{"only the durable, by POSIX", byPOSIX, onlyDurable, none},
	{"chance, in order", inOrder, someInOrder, mixed},
	{"chance, by folder", byFolder, someByFolder, mixed},
	{"chance, by POSIX", byPOSIX, someByFolder, mixed},
}

// upTo keeps all moves but the last k, as far as they aren't durable.
func upTo(k int) func(*cutter, names, *rand.Rand) []bool {
	return func(c *cutter, m names, _ *rand.Rand) []bool {
		moves := slices.Repeat([]bool{true}, c.p)
		left := k
		for i := c.p - 1; i >= 0 && left > 0 && !c.durable[m][i]; i-- {
			if c.ops[i].kind == move {
				moves[i] = false
				left--
			}
		}
		return moves
	}
}

func onlyDurable(c *cutter, m names, _ *rand.Rand) []bool {
	return slices.Clone(c.durable[m][:c.p])
}

// someInOrder keeps all moves up to a random one.
func someInOrder(c *cutter, m names, rnd *rand.Rand) []bool {
	moves := onlyDurable(c, m, rnd)
	var open []int
	for i := range moves {
		if !moves[i] && c.ops[i].kind == move {
			open = append(open, i)
		}
	}
	for _, i := range open[:rnd.IntN(len(open)+1)] {
		moves[i] = true
	}
	return moves
}

// someByFolder keeps in each folder all moves up to a random one.
func someByFolder(c *cutter, m names, rnd *rand.Rand) []bool {
	moves := onlyDurable(c, m, rnd)
	closed := map[int]bool{}
	chance := rnd.Float64() / 4
	for i := range moves {
		if moves[i] || c.ops[i].kind != move {
			continue
		}
		dirs := c.ops[i].folders()
		if slices.ContainsFunc(dirs, func(d int) bool { return closed[d] }) ||
			rnd.Float64() < chance {
			for _, d := range append(dirs, c.ops[i].node) {
				closed[d] = true
			}
			continue
		}
		moves[i] = true
	}
	return moves
}

// file is a file of a state.
type file struct {
	node int
	data []byte
}

// state is what a disk may hold. It is a files.
type state struct {
	files map[string]file // by path in the project
	dirs  []string        // parents first
}

func (s *state) read(path string) []byte { return s.files[path].data }

func (s *state) below(folder string) (out []string) {
	for path := range s.files {
		if strings.HasPrefix(path, folder+"/") {
			out = append(out, path)
		}
	}
	return out
}

// cut is one state after a power cut now.
func (c *cutter) cut(pol policy, rnd *rand.Rand) *state {
	nodes := make([]node, len(c.nodes))
	for n := range nodes {
		if c.nodes[n].kids != nil {
			nodes[n].kids = map[string]int{}
		}
		if n < len(c.first) {
			for name, kid := range c.first[n].kids {
				nodes[n].kids[name] = kid
			}
		}
	}
	for i, survives := range pol.moves(c, pol.names, rnd) {
		if survives && c.ops[i].kind == move {
			rename(nodes, c.ops[i])
		}
	}
	s := &state{files: map[string]file{}}
	s.walk(nodes, 0, "", func(n int) []byte { return c.survivor(n, pol.data, rnd) })
	return s
}

func (s *state) walk(nodes []node, n int, path string, content func(int) []byte) {
	for _, name := range sorted(nodes[n].kids) {
		kid := nodes[n].kids[name]
		if nodes[kid].kids == nil {
			s.files[path+name] = file{kid, content(kid)}
			continue
		}
		s.dirs = append(s.dirs, path+name)
		s.walk(nodes, kid, path+name+"/", content)
	}
}

// survivor is what a file holds after the cut.
func (c *cutter) survivor(n int, f fate, rnd *rand.Rand) []byte {
	var data []byte
	if n < len(c.first) {
		data = c.first[n].data
	}
	ops := c.writes[n]
	durable, _ := slices.BinarySearch(ops, c.data[n])
	for _, i := range ops[:durable] {
		data = slices.Concat(data, c.ops[i].data)
	}
	ops = ops[durable:]
	if f == mixed {
		f = fate(rnd.IntN(int(mixed)))
	}
	if f == none {
		return data
	}
	if f == torn && len(ops) > 0 {
		ops = ops[:rnd.IntN(len(ops))+1]
	}
	for k, i := range ops {
		part := c.ops[i].data
		switch {
		case f == zeros:
			part = bytes.Repeat([]byte{0}, len(part))
		case f == torn && k == len(ops)-1:
			part = part[:rnd.IntN(len(part)+1)]
		}
		data = slices.Concat(data, part)
	}
	return data
}

// TestCut has a file replaced by a rename, and cuts the power behind the last operation of each
// list.
func TestCut(t *testing.T) {
	temp := op{node: 2, from: place{dir: nowhere}, to: place{0, "temp"}}
	put := op{kind: write, node: 2, data: []byte("new")}
	replace := op{node: 2, from: place{0, "temp"}, to: place{0, "file"}}
	file, folder := op{kind: flush, node: 2, began: 2}, op{kind: flush, node: 0, began: 4}
	early := op{kind: flush, node: 2, began: 1}
	for _, c := range []struct {
		name, policy string
		ops          []op
		want         []string // contents that the file may have
	}{
		{"not flushed", "names, no data", []op{temp, put, replace}, []string{""}},
		{"not flushed", "names, zeros", []op{temp, put, replace}, []string{"\x00\x00\x00"}},
		{"not flushed", "only the durable, in order", []op{temp, put, replace}, []string{"old"}},
		{"not flushed", "chance, in order", []op{temp, put, replace},
			[]string{"old", "", "n", "ne", "new", "\x00\x00\x00"}},
		{"flushed", "names, zeros", []op{temp, put, file, replace}, []string{"new"}},
		{"flushed", "chance, by POSIX", []op{temp, put, file, replace}, []string{"old", "new"}},
		{"folder too", "only the durable, by POSIX", []op{temp, put, file, replace, folder},
			[]string{"new"}},
		{"flush begun before the write", "only the durable, in order",
			[]op{temp, put, early, replace, folder}, []string{""}},
	} {
		got := map[string]bool{}
		i := slices.IndexFunc(policies, func(p policy) bool { return p.name == c.policy })
		for seed := range uint64(200) {
			old := func() []node {
				return []node{{kids: map[string]int{"file": 1}}, {data: []byte("old")}}
			}
			d := &disk{first: old(), nodes: append(old(), node{})}
			for _, o := range c.ops {
				d.add(o)
			}
			cut := newCutter(d)
			for cut.next() {
			}
			got[string(cut.cut(policies[i], rand.New(rand.NewPCG(seed, 0))).read("file"))] = true
		}
		if slices.Sort(c.want); !slices.Equal(sorted(got), c.want) {
			t.Errorf("%s, %s: the file is %q, want %q", c.name, c.policy, sorted(got), c.want)
		}
	}
}
