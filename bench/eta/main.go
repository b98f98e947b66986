// Command eta reads a journal and says how good the estimates of its last batch were: what a display would have said was left when parts of the
// molecules were done, against what was. With -orders it also replays the batch, one job, with its molecules in other orders, and says how often what
// was left lay within what was said.
//
//	go run ./bench/eta -orders=200 artefacts/journal.jsonl
package main

import (
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"time"

	"grimperium/internal/journal"
)

var parts = []int{0, 10, 25, 50, 75} // percent of the molecules

func main() {
	log.SetFlags(0)
	orders := flag.Int("orders", 0, "other orders of the molecules, at random")
	flag.Parse()
	if flag.NArg() != 1 {
		log.Fatal("usage: go run ./bench/eta [-orders=N] JOURNAL")
	}
	path := flag.Arg(0)
	events := lastBatch(path)
	for percent, said := range judge(path, events) {
		fmt.Printf("%3d %% done: %s left; said %s ± %s, at least: %t\n", parts[percent], said.left, said.Left, said.Spread, said.AtLeast)
	}
	for i, percent := range parts {
		n, within, sure, least, off := 0, 0, 0, 0, 0.0
		for seed := range *orders {
			all := judge(path, shuffled(events, uint64(seed)))
			said := all[i]
			if said.Left == 0 {
				continue
			}
			n++
			off += (said.Left - said.left).Abs().Seconds() / said.left.Seconds()
			switch {
			case said.AtLeast:
				least++
			case said.Spread > 0:
				if sure++; (said.Left - said.left).Abs() <= said.Spread {
					within++
				}
			}
		}
		if n > 0 {
			fmt.Printf("%d orders, %d %% done: off by %.0f %% on the average; %d said at least; of %d with a spread %d were within it\n", n, percent, 100*off/float64(n), least, sure, within)
		}
	}
}

func lastBatch(path string) (events []journal.Event) {
	r, err := journal.OpenAtLastBatch(path)
	for err == nil {
		var more []journal.Event
		if more, err = r.Next(); len(more) == 0 {
			break
		}
		events = append(events, more...)
	}
	if err != nil || len(events) == 0 {
		log.Fatal("no batch in ", path, " ", err)
	}
	return events
}

type said struct {
	journal.Estimate
	left time.Duration
}

// judge asks for the time that is left at each of parts; the past is what is in the journal before the batch.
func judge(path string, events []journal.Event) []said {
	r, err := journal.OpenAtLastBatch(path)
	if err != nil {
		log.Fatal(err)
	}
	f := r.Past(1 << 20)
	out := make([]said, len(parts))
	done := 0
	for _, e := range events {
		f.Add(e)
		if e.Event == journal.Row {
			done++
		} else if e.Event != journal.BatchStart {
			continue
		}
		for i, percent := range parts {
			if done == (events[0].Total*percent+99)/100 {
				estimate, _ := f.Left(e.Time.Add(time.Millisecond))
				out[i] = said{estimate, events[len(events)-1].Time.Sub(e.Time)}
			}
		}
	}
	return out
}

// shuffled is the batch with its molecules one after the other in another order.
func shuffled(events []journal.Event, seed uint64) []journal.Event {
	var order []string
	of := map[string][]journal.Event{}
	for _, e := range events {
		if e.Mol != "" {
			if of[e.Mol] == nil {
				order = append(order, e.Mol)
			}
			of[e.Mol] = append(of[e.Mol], e)
		}
	}
	rand.New(rand.NewPCG(seed, 1)).Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	out, now := events[:1:1], events[0].Time
	for _, mol := range order {
		first := of[mol][0].Time
		for _, e := range of[mol] {
			e.Time = now.Add(e.Time.Sub(first))
			out = append(out, e)
		}
		now = out[len(out)-1].Time
	}
	return append(out, journal.Event{Event: journal.BatchEnd, Time: now})
}
