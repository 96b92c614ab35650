package control

import (
	"cmp"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"

	"mediafs/fs/transfer"
	"mediafs/remote"
)

// Answers to batches.
type (
	objectsAnswer struct {
		transfer.ObjectsResult
		Failed *failure `json:"failure,omitempty"`
	}
	recordsAnswer struct {
		transfer.RecordsResult
		Failed *failure `json:"failure,omitempty"`
	}
)

// importObjects answers a batch of objects.
func (s *Server) importObjects(w http.ResponseWriter, r *http.Request) {
	var b transfer.ObjectsBatch
	var answer objectsAnswer
	err := readBatch(w, r, &b)
	if err == nil {
		answer.ObjectsResult, err = s.target.ImportObjects(r.Context(), b)
	}
	answer.Failed = failureOf(err)
	writeAnswer(w, answer)
}

// importRecords answers a batch of records.
func (s *Server) importRecords(w http.ResponseWriter, r *http.Request) {
	var b transfer.RecordsBatch
	var answer recordsAnswer
	err := readBatch(w, r, &b)
	if err == nil {
		answer.RecordsResult, err = s.target.ImportRecords(r.Context(), b)
	}
	answer.Failed = failureOf(err)
	writeAnswer(w, answer)
}

func readBatch(w http.ResponseWriter, r *http.Request, batch any) error {
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, transfer.MaxBatch)).Decode(batch); err != nil {
		return remote.E("read the batch", "", remote.Invalid, err)
	}
	return nil
}

func writeAnswer(w http.ResponseWriter, answer any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(answer) //nolint:errcheck // the caller has gone
}

// ImportObjects has the daemon take a batch of objects.
func (c *Client) ImportObjects(ctx context.Context, b transfer.ObjectsBatch) (transfer.ObjectsResult, error) {
	var answer objectsAnswer
	if err := c.ask(ctx, "import", "/import", b, &answer); err != nil {
		return transfer.ObjectsResult{}, err
	}
	return answer.ObjectsResult, answer.Failed.err()
}

// ImportRecords has the daemon take a batch of records.
func (c *Client) ImportRecords(ctx context.Context, b transfer.RecordsBatch) (transfer.RecordsResult, error) {
	var answer recordsAnswer
	if err := c.ask(ctx, "import records", "/records", b, &answer); err != nil {
		return transfer.RecordsResult{}, err
	}
	return answer.RecordsResult, answer.Failed.err()
}

// ask posts one JSON document and reads another.
func (c *Client) ask(ctx context.Context, op, path string, question, answer any) error {
	var b strings.Builder
	if err := json.NewEncoder(&b).Encode(question); err != nil {
		return remote.E(op, c.dir, remote.Invalid, err)
	}
	body, err := c.send(ctx, op, http.MethodPost, path, strings.NewReader(b.String()))
	if err != nil {
		return err
	}
	defer body.Close()
	if err := json.NewDecoder(io.LimitReader(body, transfer.MaxBatch)).Decode(answer); err != nil {
		return c.broken(op, cmp.Or(ctx.Err(), err))
	}
	return nil
}
