package main_test

import (
	"errors"
	"runtime"
	"sync"
	"testing"

	writ "github.com/writ-authz/writ/cmd/writ"
)

func TestWhatIsWarmIsUsedAgain(t *testing.T) {
	var w writ.Warm
	ran := 0
	w.Do(func() { ran++ })
	before := runtime.NumGoroutine()
	for range 1000 {
		w.Do(func() { ran++ })
	}
	if ran != 1001 {
		t.Errorf("ran %d times, want 1001", ran)
	}
	if now := runtime.NumGoroutine(); now > before+100 {
		t.Errorf("%d goroutines after 1,000 requests, one at a time, and %d after the first", now, before)
	}
}

func TestNobodyWaitsForAWarmGoroutine(t *testing.T) {
	var w writ.Warm
	const many = 500
	var all, here sync.WaitGroup
	here.Add(many)
	for range many {
		all.Go(func() {
			w.Do(func() {
				here.Done()
				here.Wait() // for all the others
			})
		})
	}
	all.Wait()
	w.Do(func() {})
}

func TestAPanicIsThatOfWhoAsked(t *testing.T) {
	var w writ.Warm
	boom := errors.New("boom")
	func() {
		defer func() {
			if cause := recover(); cause != boom {
				t.Errorf("recovered %v, want the cause", cause)
			}
		}()
		w.Do(func() { panic(boom) })
	}()
	ran := false
	w.Do(func() { ran = true })
	if !ran {
		t.Error("nothing runs after a panic")
	}
}

func TestAGoroutineThatEndsIsNotUsedAgain(t *testing.T) {
	var w writ.Warm
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.Do(runtime.Goexit)
		t.Error("the goroutine that asked goes on")
	}()
	<-ended
	ran := false
	w.Do(func() { ran = true })
	if !ran {
		t.Error("nothing runs afterwards")
	}
}
