// Receives the watcher's webhooks with net/http.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// The watcher sends at most `max_body` of the channel, 256 KiB by default.
const maxBody = 1 << 20

// Event is the part of a webhook's body that is used here. A pointer is nil where the value is null.
type Event struct {
	Type string `json:"type"`
	Data struct {
		TaskID       string  `json:"task_id"`
		Sequence     int     `json:"sequence"`
		ErrorMessage *string `json:"error_message"`
	} `json:"data"`
}

// work does what the event requires. If it returns an error, it is called again later.
func work(body []byte) error {
	var event Event
	if err := json.Unmarshal(body, &event); err != nil {
		return err
	}
	if event.Type == "task.failed" {
		// Sequence counts a task's changes: skip an event older than one that you have seen.
		message := "no message"
		if event.Data.ErrorMessage != nil {
			message = *event.Data.ErrorMessage
		}
		log.Printf("%s failed: %s", event.Data.TaskID, message)
	}
	return nil
}

// receive verifies, stores and answers; the work follows.
func receive(webhook *standardwebhooks.Webhook, inbox *Inbox) http.HandlerFunc {
	return func(response http.ResponseWriter, request *http.Request) {
		// The signature is of these bytes, not of parsed JSON.
		body, err := io.ReadAll(http.MaxBytesReader(response, request.Body, maxBody))
		if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
			http.Error(response, "too large", http.StatusRequestEntityTooLarge)
			return
		}
		if err != nil {
			http.Error(response, "incomplete body", http.StatusBadRequest)
			return
		}
		if err := webhook.Verify(body, request.Header); err != nil {
			http.Error(response, "invalid signature", http.StatusUnauthorized)
			return
		}
		id := request.Header.Get(standardwebhooks.HeaderWebhookID)
		added, err := inbox.Add(id, body)
		if err != nil {
			log.Print(err)
			http.Error(response, "cannot store the webhook", http.StatusServiceUnavailable)
			return
		}
		if !added {
			log.Printf("duplicate %s", id)
		}
		response.WriteHeader(http.StatusNoContent)
	}
}

func variable(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

func main() {
	log.SetFlags(0)
	secret := os.Getenv("WEBHOOK_SECRET")
	if secret == "" {
		log.Fatal("set WEBHOOK_SECRET")
	}
	webhook, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		log.Fatal(err)
	}
	inbox, err := OpenInbox(variable("INBOX", "inbox.db"))
	if err != nil {
		log.Fatal(err)
	}
	defer inbox.Close()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /hooks/tasks", receive(webhook, inbox))
	server := &http.Server{
		Addr:              "127.0.0.1:" + variable("PORT", "8000"),
		Handler:           mux,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		IdleTimeout:       2 * time.Minute,
	}
	go func() {
		<-ctx.Done()
		ending, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = server.Shutdown(ending)
	}()
	worker := make(chan struct{})
	go func() {
		defer close(worker)
		inbox.Run(ctx, work)
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
	<-worker
}
