package web

import (
	"cmp"
	"slices"
	"strings"
)

// Node is a stage in the drawing of the pipeline.
type Node struct {
	X, Y, W, H float64
	Name, Runs string
	Needs      string // what it depends on, where there is room for it
	Off        bool
}

// Edge is an arrow between two nodes, as a cubic curve.
type Edge struct{ X1, Y1, X2, Y2, C1, C2 float64 }

// Graph is the drawing of the pipeline, top to bottom.
type Graph struct {
	Width, Height float64
	Nodes         []Node
	Edges         []Edge
}

// The measures of the drawing, in pixels.
const (
	nodeWidth  = 132.0
	nodeHeight = 36.0
	nodeGap    = 18.0
	layerGap   = 22.0
	needsWidth = 420.0 // of the text beside a node
)

// drawGraph puts each stage one layer below the lowest stage that it depends on. An arrow that
// follows from others is left out.
func drawGraph(stages []Stage) *Graph {
	g := &Graph{}
	layer, needs := map[string]int{}, map[string]map[string]bool{}
	var layers [][]Stage
	for _, s := range stages {
		at, all := 0, map[string]bool{}
		for _, d := range s.DependsOn {
			at = max(at, layer[d]+1)
			all[d] = true
			for far := range needs[d] {
				all[far] = true
			}
		}
		layer[s.Name], needs[s.Name] = at, all
		for len(layers) <= at {
			layers = append(layers, nil)
		}
		layers[at] = append(layers[at], s)
	}
	widest := 0
	for _, row := range layers {
		widest = max(widest, len(row))
	}
	g.Width = float64(widest)*(nodeWidth+nodeGap) + nodeGap
	g.Height = float64(len(layers))*(nodeHeight+layerGap) - layerGap + 4
	if widest == 1 {
		g.Width += needsWidth
	}
	place := map[string]Node{}
	for at, row := range layers {
		g.placeRow(place, row, float64(at)*(nodeHeight+layerGap)+2)
	}
	for _, s := range stages {
		for _, d := range s.DependsOn {
			if slices.ContainsFunc(s.DependsOn, func(o string) bool { return needs[o][d] }) {
				continue
			}
			g.join(place[d], place[s.Name])
		}
	}
	return g
}

// placeRow sets a layer in the middle of the drawing, each stage near those that it depends on.
func (g *Graph) placeRow(place map[string]Node, row []Stage, y float64) {
	mean := func(s Stage) float64 {
		sum, n := 0.0, 0.0
		for _, d := range s.DependsOn {
			sum, n = sum+place[d].X, n+1
		}
		return sum / max(n, 1)
	}
	slices.SortStableFunc(row, func(a, b Stage) int { return cmp.Compare(mean(a), mean(b)) })
	alone := g.Width == nodeWidth+2*nodeGap+needsWidth // one stage a layer
	x := (g.Width - float64(len(row))*(nodeWidth+nodeGap) + nodeGap) / 2
	if alone {
		x = nodeGap
	}
	for _, s := range row {
		n := Node{X: x, Y: y, W: nodeWidth, H: nodeHeight, Name: s.Name, Runs: s.Runs, Off: s.Off}
		if alone {
			n.Needs = strings.Join(s.DependsOn, ", ")
		}
		place[s.Name] = n
		g.Nodes = append(g.Nodes, n)
		x += nodeWidth + nodeGap
	}
}

// join draws an arrow. One that skips layers bends around the nodes between.
func (g *Graph) join(from, to Node) {
	e := Edge{X1: from.X + from.W/2, Y1: from.Y + from.H, X2: to.X + to.W/2, Y2: to.Y}
	e.C1, e.C2 = e.X1, e.X2
	if skipped := e.Y2 - e.Y1 - layerGap; skipped > 1 {
		side := nodeWidth*0.75 + skipped/12
		if e.X1+e.X2 > g.Width {
			side = -side
		}
		e.C1, e.C2 = e.C1-side, e.C2-side
	}
	g.Edges = append(g.Edges, e)
}
