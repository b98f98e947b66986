package main

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
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

// op is one recorded operation. A move makes a name (from nowhere), removes one (to nowhere), or renames.
type op struct {
	kind     kind
	node     int
	from, to place  // of a move
	back     int    // of a move that exchanges two names: the node that comes back for it; 0, the project's folder, is none
	off      int    // of a write: where; of a cut: the new size
	data     []byte // of a write
	began    int    // of a flush: only what was complete when it began is sure
}

type kind int

const (
	move kind = iota
	write
	cut
	flush    // of one file or folder
	flushAll // of the whole file system
)

// disk is what was recorded, and what is on the disk if nothing is lost. Node 0 is the project's folder.
type disk struct {
	nodes []node // as they are now
	first []node // as they were when the recording began: all of it is sure
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

// add does an operation and records it.
func (d *disk) add(o op) {
	d.ops = append(d.ops, o)
	switch o.kind {
	case move:
		rename(d.nodes, o)
	case write, cut:
		n := &d.nodes[o.node]
		n.data = o.on(n.data, o.data)
	}
}

func rename(nodes []node, o op) {
	if o.from.dir != nowhere {
		delete(nodes[o.from.dir].kids, o.from.name)
	}
	if o.to.dir != nowhere {
		nodes[o.to.dir].kids[o.to.name] = o.node
	}
	if o.back != 0 {
		nodes[o.from.dir].kids[o.from.name] = o.back
	}
}

// on is a file's content after a write of these bytes, or a cut. It leaves the old content alone.
func (o op) on(old, data []byte) []byte {
	size := o.off
	if o.kind == write {
		size = max(len(old), o.off+len(data))
	}
	out := make([]byte, size)
	copy(out, old)
	copy(out[o.off:], data)
	return out
}

// names says which names a flush makes sure.
type names int

const (
	inOrder  names = iota // ext4, XFS: a flush commits the journal, with all that happened to any folder before the last change of what is flushed
	byFolder              // a flush of a folder makes its names sure; one of a file its own name, and those of the folders that it is in
	byPOSIX               // only a flush of a folder makes names sure, its own entries and no others
	modes
)

// cutter makes the states in which a disk may be after a power cut. It goes through the operations once, forwards.
type cutter struct {
	*disk
	p      int           // operations that were begun and done before the cut
	data   []int         // by node: writes before this operation are sure
	sure   [modes][]bool // by operation: the move is sure
	folder map[int][]int // by folder: its moves so far
	named  map[int][]int // by node: its moves so far
	writes map[int][]int // by node: its writes and cuts so far
	last   map[int]int   // by node: its last operation
	parent map[int]int   // by node: the folder that it is in
}

func newCutter(d *disk) *cutter {
	c := &cutter{disk: d, data: make([]int, len(d.nodes)), folder: map[int][]int{}, named: map[int][]int{}, writes: map[int][]int{}, last: map[int]int{}, parent: map[int]int{}}
	for m := range c.sure {
		c.sure[m] = make([]bool, len(d.ops))
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
		c.moved(o.node, o.to.dir)
		if o.back != 0 {
			c.moved(o.back, o.from.dir)
		}
	case write, cut:
		c.writes[o.node] = append(c.writes[o.node], c.p)
		c.last[o.node] = c.p
	case flush:
		c.flush(o.node, o.began)
	case flushAll:
		for n := range c.data {
			c.data[n] = max(c.data[n], o.began)
		}
		c.settle(inOrder, o.began)
		c.settle(byFolder, o.began)
		c.settle(byPOSIX, o.began)
	}
	c.p++
	return true
}

func (c *cutter) moved(n, dir int) {
	c.named[n] = append(c.named[n], c.p)
	c.parent[n], c.last[n] = dir, c.p
}

// folders are those whose names a move changes.
func (o op) folders() []int {
	dirs := slices.DeleteFunc([]int{o.from.dir, o.to.dir}, func(d int) bool { return d == nowhere })
	return slices.Compact(dirs)
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

// settle makes all moves before an operation sure.
func (c *cutter) settle(m names, before int) {
	for i := range before {
		c.sure[m][i] = true
	}
}

// mark makes a move sure, with all that happened in its folders before: within a folder the order is kept, a rename is in both or in none, and nothing
// is renamed from one folder into another that is not there.
func (c *cutter) mark(m names, i, before int) {
	if i >= before || c.sure[m][i] {
		return
	}
	c.sure[m][i] = true
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

// policy is one way to lose what is not sure.
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
	none              // it is not; neither is the size
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
	{"only the sure, in order", inOrder, onlySure, none},
	{"only the sure, by folder", byFolder, onlySure, none},
	{"only the sure, by POSIX", byPOSIX, onlySure, none},
	{"chance, in order", inOrder, someInOrder, mixed},
	{"chance, by folder", byFolder, someByFolder, mixed},
	{"chance, by POSIX", byPOSIX, someByFolder, mixed},
}

// upTo keeps all moves but the last k, as far as they aren't sure.
func upTo(k int) func(*cutter, names, *rand.Rand) []bool {
	return func(c *cutter, m names, _ *rand.Rand) []bool {
		kept := slices.Repeat([]bool{true}, c.p)
		left := k
		for i := c.p - 1; i >= 0 && left > 0 && !c.sure[m][i]; i-- {
			if c.ops[i].kind == move {
				kept[i] = false
				left--
			}
		}
		return kept
	}
}

func onlySure(c *cutter, m names, _ *rand.Rand) []bool { return slices.Clone(c.sure[m][:c.p]) }

// someInOrder keeps all moves up to a random one.
func someInOrder(c *cutter, m names, rnd *rand.Rand) []bool {
	kept := onlySure(c, m, rnd)
	open := 0
	for i := range kept {
		if !kept[i] && c.ops[i].kind == move {
			open++
		}
	}
	for i, left := 0, rnd.IntN(open+1); left > 0; i++ {
		if !kept[i] && c.ops[i].kind == move {
			kept[i] = true
			left--
		}
	}
	return kept
}

// someByFolder keeps in each folder all moves up to a random one.
func someByFolder(c *cutter, m names, rnd *rand.Rand) []bool {
	kept := onlySure(c, m, rnd)
	closed := map[int]bool{}
	chance := rnd.Float64() / 4
	for i := range kept {
		if kept[i] || c.ops[i].kind != move {
			continue
		}
		dirs := c.ops[i].folders()
		if slices.ContainsFunc(dirs, func(d int) bool { return closed[d] }) || rnd.Float64() < chance {
			for _, d := range append(dirs, c.ops[i].node) {
				closed[d] = true
			}
			continue
		}
		kept[i] = true
	}
	return kept
}

// file is a file of a state, by its path in the project.
type file struct {
	node int
	data []byte
}

// state is what a disk may hold.
type state struct {
	files map[string]file
	dirs  []string // parents first
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
	for i, kept := range pol.moves(c, pol.names, rnd) {
		if kept && c.ops[i].kind == move {
			rename(nodes, c.ops[i])
		}
	}
	s := &state{files: map[string]file{}}
	s.walk(nodes, 0, "", func(n int) []byte { return c.content(n, pol.data, rnd) })
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

// content is what a file holds.
func (c *cutter) content(n int, f fate, rnd *rand.Rand) []byte {
	var data []byte
	if n < len(c.first) {
		data = c.first[n].data
	}
	ops := c.writes[n]
	sure, _ := slices.BinarySearch(ops, c.data[n])
	for _, i := range ops[:sure] {
		data = c.ops[i].on(data, c.ops[i].data)
	}
	ops = ops[sure:]
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
		data = c.ops[i].on(data, part)
	}
	return data
}
