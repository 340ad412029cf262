package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"log"
	"time"

	"go.etcd.io/bbolt"
)

const (
	// An ID is remembered for longer than the watcher retries (three days) or replays (`store.retention`, seven days).
	keptFor = 30 * 24 * time.Hour
	// Work that failed is tried again after this time.
	retryAfter = 5 * time.Second
)

var (
	pending = []byte("pending") // number -> ID, a zero byte, body
	seen    = []byte("seen")    // ID -> number
	times   = []byte("times")   // number -> Unix seconds, ID: the oldest first
)

// Inbox stores each webhook once, and processes it after the answer.
//
// A bbolt file suits one process. A service of several keeps a table with a unique webhook_id in its own database:
// with PostgreSQL `INSERT … ON CONFLICT DO NOTHING`, and `SELECT … FOR UPDATE SKIP LOCKED` in the worker. If the work
// writes to the same database, it belongs in the transaction that marks the webhook as processed: then it happens
// exactly once. Otherwise it happens again after a crash in its middle, and has to allow that.
type Inbox struct {
	database *bbolt.DB
	added    chan struct{}
}

// OpenInbox opens the file, or creates it.
func OpenInbox(path string) (*Inbox, error) {
	database, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: 5 * time.Second})
	if err != nil {
		return nil, err
	}
	err = database.Update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{pending, seen, times} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		_ = database.Close()
		return nil, err
	}
	return &Inbox{database: database, added: make(chan struct{}, 1)}, nil
}

// Close closes the file.
func (inbox *Inbox) Close() error { return inbox.database.Close() }

// Add stores a webhook, and returns whether it is new. It is on disk when this returns.
func (inbox *Inbox) Add(id string, body []byte) (added bool, err error) {
	err = inbox.database.Update(func(tx *bbolt.Tx) error {
		if tx.Bucket(seen).Get([]byte(id)) != nil {
			return nil
		}
		added = true
		sequence, err := tx.Bucket(seen).NextSequence()
		if err != nil {
			return err
		}
		number := binary.BigEndian.AppendUint64(nil, sequence)
		now := binary.BigEndian.AppendUint64(nil, uint64(time.Now().Unix()))
		if err := tx.Bucket(seen).Put([]byte(id), number); err != nil {
			return err
		}
		if err := tx.Bucket(times).Put(number, append(now, id...)); err != nil {
			return err
		}
		return tx.Bucket(pending).Put(number, append([]byte(id+"\x00"), body...))
	})
	select {
	case inbox.added <- struct{}{}:
	default: // the worker is woken already
	}
	return added, err
}

// Run works on what an earlier run left, then on what arrives, until the context ends.
func (inbox *Inbox) Run(ctx context.Context, work func([]byte) error) {
	for ctx.Err() == nil {
		if err := inbox.processPending(ctx, work); err != nil {
			log.Printf("cannot use the inbox: %v", err)
		}
		select {
		case <-ctx.Done():
		case <-inbox.added:
		case <-time.After(retryAfter):
		}
	}
}

// processPending tries each pending webhook once, in order of arrival.
func (inbox *Inbox) processPending(ctx context.Context, work func([]byte) error) error {
	last := []byte{}
	for ctx.Err() == nil {
		number, content, err := inbox.next(last)
		if err != nil || number == nil {
			break
		}
		last = number
		id, body, _ := bytes.Cut(content, []byte{0})
		if err := work(body); err != nil {
			log.Printf("failed %s: %v; next try in %s", id, err, retryAfter)
			continue
		}
		done := func(tx *bbolt.Tx) error { return tx.Bucket(pending).Delete(number) }
		if err := inbox.database.Update(done); err != nil {
			return err
		}
		log.Printf("processed %s", id)
	}
	return inbox.database.Update(forgetOld)
}

// next returns the first pending webhook after a number, or nil.
func (inbox *Inbox) next(last []byte) (number, content []byte, err error) {
	err = inbox.database.View(func(tx *bbolt.Tx) error {
		cursor := tx.Bucket(pending).Cursor()
		key, value := cursor.Seek(last)
		if key != nil && bytes.Equal(key, last) {
			key, value = cursor.Next()
		}
		// What bbolt returns is valid within the transaction only.
		number, content = bytes.Clone(key), bytes.Clone(value)
		return nil
	})
	return number, content, err
}

// forgetOld removes the IDs that are too old to come again. A pending one stays.
func forgetOld(tx *bbolt.Tx) error {
	cursor := tx.Bucket(times).Cursor()
	limit := uint64(time.Now().Add(-keptFor).Unix())
	for number, value := cursor.First(); number != nil; number, value = cursor.Next() {
		if binary.BigEndian.Uint64(value) >= limit {
			return nil
		}
		if tx.Bucket(pending).Get(number) != nil {
			continue
		}
		if err := tx.Bucket(seen).Delete(value[8:]); err != nil {
			return err
		}
		if err := cursor.Delete(); err != nil {
			return err
		}
	}
	return nil
}
