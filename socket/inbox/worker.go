package inbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/IBM/sarama"
)

// work fetches from one broker as long as it leads any feed.
func (f *fetcher) work(ctx context.Context, client sarama.Client, id int32) {
	defer f.nudge()
	for ctx.Err() == nil {
		feeds, places := f.of(id)
		if len(feeds) == 0 {
			return
		}
		begun := f.now()
		response, err := f.fetch(client, id, places)
		if err != nil {
			f.lose(feeds, err)
			continue
		}
		at := f.now()
		for i, each := range feeds {
			f.handle(each, response, places[i], at)
		}
		if left := time.Duration(len(places))*shardCost - f.now().Sub(begun); len(places) >= pacedFrom && left > 0 {
			pause(ctx, left, nil)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.workers, id)
}

// of lists a broker's feeds and their places. With none it also gives up the broker's goroutine, under the same lock
// under which a new feed would ask for it.
func (f *fetcher) of(id int32) ([]*feed, []place) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var feeds []*feed
	var places []place
	for _, each := range f.feeds {
		if each.broker == id {
			feeds = append(feeds, each)
			places = append(places, each.place)
		}
	}
	if len(feeds) == 0 {
		delete(f.workers, id)
	}
	return feeds, places
}

func (f *fetcher) fetch(client sarama.Client, id int32, places []place) (*sarama.FetchResponse, error) {
	broker, err := client.Broker(id)
	if err != nil {
		return nil, fmt.Errorf("find broker %d: %w", id, err)
	}
	response, err := broker.Fetch(request(client.Config(), f.topic, places))
	if err == nil && response.ErrorCode != 0 {
		err = sarama.KError(response.ErrorCode)
	}
	if err != nil {
		_ = broker.Close() // The next attempt opens it anew.
		return nil, fmt.Errorf("fetch from broker %d: %w", id, err)
	}
	return response, nil
}

// lose takes every feed from a broker that does not answer.
func (f *fetcher) lose(feeds []*feed, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, each := range feeds {
		if !each.removed {
			f.delay(each, err)
		}
	}
}

// handle gives one shard's part of an answer to its reader.
func (f *fetcher) handle(each *feed, response *sarama.FetchResponse, p place, at time.Time) {
	brought, err := unpack(response, f.topic, p, at)
	f.mu.Lock()
	removed := each.removed
	if !removed && errors.Is(err, errOutOfRange) {
		f.drop(each)
	} else if !removed && err != nil {
		f.delay(each, err)
	} else if !removed {
		each.place.offset = brought.next
		f.heal(each)
	}
	f.mu.Unlock()
	switch {
	case removed:
	case err == nil:
		f.digest(each, brought)
	case errors.Is(err, errOutOfRange):
		f.broken(each)
	}
}

func (f *fetcher) digest(each *feed, brought fetched) {
	v := each.reader.take(brought)
	if v == over {
		f.remove(each.reader)
	}
	f.handled(each, v)
}
