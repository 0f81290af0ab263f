package dialects

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
)

// most is how many objects a native list gives at once.
const most = 100

// maxWalked bounds the objects that a page with a number walks over: native lists have cursors, and a page far behind costs those before.
// What is behind so many is on no page.
const maxWalked = 100_000

// Page is a part of a list.
type Page struct {
	Items []json.RawMessage
	// Total is how many there are. The native lists count to 1,000; beyond, it is how many are known of, one more than what was walked over
	// where there are more.
	Total int
}

// Page reads the part of a native list that begins behind so many objects. Each native call has a decision, all of them the same one: that of
// the list.
func (c *Call) Page(path string, query url.Values, skip, limit int) (Page, error) {
	page := Page{Items: []json.RawMessage{}}
	counted, err := c.walk(path, query, func(item json.RawMessage) bool {
		if page.Total >= skip && len(page.Items) < limit {
			page.Items = append(page.Items, item)
		}
		page.Total++
		return page.Total <= skip+limit && page.Total < maxWalked
	})
	if counted != nil {
		page.Total = *counted
	}
	return page, err
}

// Walk calls visit for each object of a native list, in its order, until it returns false.
func (c *Call) Walk(path string, query url.Values, visit func(json.RawMessage) bool) error {
	_, err := c.walk(path, query, visit)
	return err
}

func (c *Call) walk(path string, query url.Values, visit func(json.RawMessage) bool) (counted *int, err error) {
	asked := url.Values{}
	for name, values := range query {
		asked[name] = values
	}
	asked.Set("limit", strconv.Itoa(most))
	asked.Set("count", "true")
	for walked := 0; ; {
		var part struct {
			Items []json.RawMessage `json:"items"`
			Next  string            `json:"next"`
			Total *int              `json:"total"`
		}
		if _, err := c.Get(path, asked, &part); err != nil {
			return nil, err
		}
		if part.Total != nil {
			counted = part.Total
		}
		for _, item := range part.Items {
			if !visit(item) {
				return counted, nil
			}
		}
		if walked += len(part.Items); part.Next == "" {
			return counted, nil
		}
		if walked > maxWalked {
			return nil, &Fault{Kind: Invalid, Detail: "the list has more than " + strconv.Itoa(maxWalked) + " objects; use the native list"}
		}
		asked.Del("count")
		asked.Set("after", part.Next)
	}
}

// Absent is the refusal that a native route gives for what is not there, for rows whose objects are found by a list.
func Absent() *Refusal { return &Refusal{Status: http.StatusNotFound, Code: "not_found"} }
