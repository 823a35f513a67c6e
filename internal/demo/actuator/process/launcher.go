package process

import "runtime"

// launcher starts processes from one thread that lives as long as it does. Where a child is told to die with its
// parent, the kernel means the thread that started it, and the Go runtime may end any other thread.
type launcher struct {
	tasks chan func()
	done  chan struct{}
}

func newLauncher() *launcher {
	l := &launcher{tasks: make(chan func()), done: make(chan struct{})}
	go func() {
		defer close(l.done)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for task := range l.tasks {
			task()
		}
	}()
	return l
}

// run calls start on the thread and returns what it returns. It must not be called after stop.
func (l *launcher) run(start func() error) error {
	result := make(chan error, 1)
	l.tasks <- func() { result <- start() }
	return <-result
}

// stop ends the thread's work; every child must be gone.
func (l *launcher) stop() {
	close(l.tasks)
	<-l.done
}
