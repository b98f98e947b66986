// Command eta reads a journal and says how good the estimates of its last batch were: what a display would have said was left when parts of the
// molecules were done, against what was.
//
//	go run ./bench/eta artefacts/journal.jsonl
package main

import (
	"fmt"
	"log"
	"os"

	"grimperium/internal/journal"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: go run ./bench/eta JOURNAL")
	}
	r, err := journal.OpenAtLastBatch(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	f := r.Past(1 << 20)
	var events []journal.Event
	for {
		more, err := r.Next()
		if err != nil {
			log.Fatal(err)
		}
		if len(more) == 0 {
			break
		}
		events = append(events, more...)
	}
	total, done := 0, 0
	for i, e := range events {
		if f.Add(e); e.Event == journal.BatchStart {
			total = e.Total
		}
		if e.Event != journal.Row && e.Event != journal.BatchStart {
			continue
		}
		if e.Event == journal.Row {
			done++
		}
		for _, percent := range []int{0, 10, 25, 50, 75} {
			if done != (total*percent+99)/100 || e.Event == journal.BatchStart && percent > 0 {
				continue
			}
			left := events[len(events)-1].Time.Sub(e.Time).Seconds()
			said, ok := f.Left(events[i].Time.Add(1e6))
			fmt.Printf("%3d %% done: %6.1f s left; said %6.1f ± %.1f s, at least: %t, known: %t\n", percent, left, said.Left.Seconds(), said.Spread.Seconds(), said.AtLeast, ok)
		}
	}
}
