package web

import (
	"fmt"
	"math"
	"strconv"
)

// Bar is a bar of a chart, in the chart's pixels.
type Bar struct {
	X, Y, W, H float64
	Class      string // of the style sheet
	Title      string // what a pointer over it shows
}

// Tick is a mark of an axis.
type Tick struct {
	At   float64
	Text string
}

// Chart is bars with axes.
type Chart struct {
	Width, Height float64 // of the whole
	Left, Bottom  float64 // of the lines of the axes
	Bars          []Bar
	Xs, Ys        []Tick
	XLabel        string
	YLabel        string
	Label         string // what a screen reader says
}

// MidX and MidY are where the labels of the axes stand.
func (c *Chart) MidX() float64 { return (c.Left + c.Width) / 2 }
func (c *Chart) MidY() float64 { return c.Bottom / 2 }

// The margins of a chart.
const (
	chartLeft   = 52.0
	chartRight  = 12.0
	chartTop    = 10.0
	chartBottom = 48.0
)

// bars draws values as bars side by side; from and to are what stands at the ends of the x axis.
type bars struct {
	values         []float64
	from, to       float64
	xLabel, yLabel string
	title          func(i int) string
	class          func(i int) string
	height         float64
	names          []string // below the bars, instead of the numbers between from and to
}

func (b bars) chart() *Chart {
	c := &Chart{Width: 520, Height: b.height, Left: chartLeft, XLabel: b.xLabel, YLabel: b.yLabel}
	c.Bottom = c.Height - chartBottom
	most := 0.0
	for _, v := range b.values {
		most = max(most, v)
	}
	if most == 0 {
		most = 1
	}
	wide, high := c.Width-chartLeft-chartRight, c.Bottom-chartTop
	step := wide / float64(len(b.values))
	gap := max(min(2, step/5), step-70)
	for i, v := range b.values {
		bar := Bar{X: chartLeft + float64(i)*step + gap/2, W: step - gap, H: v / most * high}
		bar.Y = c.Bottom - bar.H
		if b.title != nil {
			bar.Title = b.title(i)
		}
		if b.class != nil {
			bar.Class = b.class(i)
		}
		c.Bars = append(c.Bars, bar)
	}
	for _, v := range ticks(0, most, 4) {
		c.Ys = append(c.Ys, Tick{c.Bottom - v/most*high, short(v)})
	}
	for i, name := range b.names {
		c.Xs = append(c.Xs, Tick{chartLeft + (float64(i)+0.5)*step, name})
	}
	if b.names == nil {
		for _, v := range ticks(b.from, b.to, 7) {
			c.Xs = append(c.Xs, Tick{chartLeft + (v-b.from)/(b.to-b.from)*wide, short(v)})
		}
	}
	return c
}

// ticks returns round numbers between two, about n of them.
func ticks(from, to float64, n int) (out []float64) {
	if !(to > from) {
		return nil
	}
	raw := (to - from) / float64(n)
	step := math.Pow(10, math.Floor(math.Log10(raw)))
	for _, k := range []float64{1, 2, 5, 10} {
		if step*k >= raw {
			step *= k
			break
		}
	}
	for k := math.Ceil(from/step - 1e-9); k*step <= to+step*1e-9; k++ {
		out = append(out, k*step)
	}
	return out
}

// short is a number of an axis.
func short(v float64) string {
	unit := ""
	switch size := math.Abs(v); {
	case size >= 1e7:
		v, unit = v/1e6, "M"
	case size >= 1e4:
		v, unit = v/1e3, "k"
	}
	rounded := math.Round(v*1e6)/1e6 + 0 // + 0: no negative zero
	return minus(strconv.FormatFloat(rounded, 'f', -1, 64)) + unit
}

// histogram draws the signed deviations. What is beyond the 1st and the 99th percentile, widened,
// counts in the first and the last bar.
func histogram(sorted []float64) *Chart {
	if len(sorted) == 0 {
		return nil
	}
	const n = 41
	reach := max(math.Abs(Quantile(sorted, 0.01)), math.Abs(Quantile(sorted, 0.99)), 0.1) * 1.15
	counts := make([]float64, n)
	for _, v := range sorted {
		counts[min(n-1, max(0, int((v+reach)/(2*reach)*n)))]++
	}
	width := 2 * reach / n
	c := bars{values: counts, from: -reach, to: reach, height: 300,
		xLabel: "deviation, kcal/mol", yLabel: "molecules",
		title: func(i int) string {
			from := -reach + float64(i)*width
			switch i {
			case 0:
				return fmt.Sprintf("below %.1f kcal/mol: %s", from+width, molecules(int(counts[i])))
			case n - 1:
				return fmt.Sprintf("above %.1f kcal/mol: %s", from, molecules(int(counts[i])))
			}
			return fmt.Sprintf("%.1f to %.1f kcal/mol: %s", from, from+width,
				molecules(int(counts[i])))
		}}.chart()
	c.Label = fmt.Sprintf("Histogram of %d signed deviations", len(sorted))
	return c
}

// countChart draws counts side by side.
func countChart(counts []Count, xLabel string) *Chart {
	if len(counts) == 0 {
		return nil
	}
	b := bars{height: 190, xLabel: xLabel, yLabel: "molecules", title: func(i int) string {
		return counts[i].Name + ": " + molecules(counts[i].Count)
	}}
	for _, c := range counts {
		b.values, b.names = append(b.values, float64(c.Count)), append(b.names, c.Name)
	}
	c := b.chart()
	c.Label = "Molecules by " + xLabel
	return c
}

// coresChart draws how many cores a batch used over time.
func coresChart(b *BatchCost) *Chart {
	if b == nil {
		return nil
	}
	unit, name := 1.0, "s"
	switch {
	case b.Seconds > 2*86400:
		unit, name = 86400, "days"
	case b.Seconds > 2*3600:
		unit, name = 3600, "hours"
	case b.Seconds > 2*60:
		unit, name = 60, "minutes"
	}
	c := bars{values: b.Cores, from: 0, to: b.Seconds / unit, height: 190,
		xLabel: "time since the batch started, " + name, yLabel: "cores in use",
		title: func(i int) string { return fmt.Sprintf("%.2f cores", b.Cores[i]) }}.chart()
	c.Label = "Cores in use over the time of the last batch"
	return c
}

// statusBar draws the statuses as one bar of a width of 1000.
func statusBar(counts []Count, total int) (out []Bar) {
	x := 0.0
	for _, c := range counts {
		w := 1000 * float64(c.Count) / float64(total)
		out = append(out, Bar{X: x, W: w, H: 1, Class: statusClass(c.Name),
			Title: fmt.Sprintf("%s: %s of %s", c.Name, grouped(c.Count), grouped(total))})
		x += w
	}
	return out
}

// statusClass is the name of a status in the style sheet.
func statusClass(status string) string {
	switch status {
	case "OK":
		return "s-ok"
	case "Rerun":
		return "s-rerun"
	case "Skip":
		return "s-skip"
	}
	return "s-open"
}
