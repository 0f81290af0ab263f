package dialects

import (
	"encoding/json"
	"errors"
	"net/http"
)

// Kind is what is wrong with a request.
type Kind string

// What the kit finds. Missing, Invalid and Unmodifiable are the dialects' own findings.
const (
	NoRoute      Kind = "no_route"
	NoMethod     Kind = "no_method"
	MediaType    Kind = "media_type"
	TooLarge     Kind = "too_large"
	Unreadable   Kind = "unreadable"
	Malformed    Kind = "malformed"
	Duplicate    Kind = "duplicate"
	UnknownKey   Kind = "unknown_key"
	WrongType    Kind = "wrong_type"
	BadParameter Kind = "bad_parameter"
	Missing      Kind = "missing"
	Invalid      Kind = "invalid"
	Unmodifiable Kind = "unmodifiable"
)

// Fault is a request that a dialect cannot read. It repeats no value of it.
type Fault struct {
	Kind Kind
	// At is the JSON pointer of the member, or the name of the parameter.
	At     string
	Detail string
	// Allow are the methods that there are, of NoMethod.
	Allow []string
}

func (f *Fault) Error() string {
	text := f.Detail
	if text == "" {
		text = string(f.Kind)
	}
	if f.At == "" {
		return text
	}
	return f.At + ": " + text
}

// Status is the usual one.
func (f *Fault) Status() int {
	switch f.Kind {
	case NoRoute:
		return http.StatusNotFound
	case NoMethod:
		return http.StatusMethodNotAllowed
	case MediaType:
		return http.StatusUnsupportedMediaType
	case TooLarge:
		return http.StatusRequestEntityTooLarge
	default:
		return http.StatusBadRequest
	}
}

// Refusal is a native reply that is no success.
type Refusal struct {
	Status int
	Header http.Header
	Body   []byte
	// Code is that of the problem (RFC 9457), or the error of an OAuth endpoint (RFC 6749, section 5.2); empty where there is neither.
	Code string
	// Detail is for people, Pointer is where the mistake is.
	Detail, Pointer string
	// Reasons are the codes of a denial.
	Reasons []string
}

func (r *Refusal) Error() string {
	return "the native route answers " + http.StatusText(r.Status) + " " + r.Code
}

// newRefusal reads the error languages of the native routes.
func newRefusal(a *Answer) *Refusal {
	var read struct {
		Code        string `json:"code"`
		Detail      string `json:"detail"`
		Pointer     string `json:"pointer"`
		Error       string `json:"error"`
		Description string `json:"error_description"`
		Reasons     []struct {
			Code string `json:"code"`
		} `json:"reasons"`
	}
	refusal := &Refusal{Status: a.Status, Header: a.Header, Body: a.Body}
	if json.Unmarshal(a.Body, &read) != nil {
		return refusal // of a language that has no codes
	}
	refusal.Code, refusal.Detail, refusal.Pointer = read.Code, read.Detail, read.Pointer
	if read.Error != "" {
		refusal.Code, refusal.Detail = read.Error, read.Description
	}
	for _, reason := range read.Reasons {
		refusal.Reasons = append(refusal.Reasons, reason.Code)
	}
	return refusal
}

// Has says whether the refusal has a code, or a reason of that code.
func (r *Refusal) Has(codes ...string) bool {
	for _, code := range codes {
		if r.Code == code {
			return true
		}
		for _, reason := range r.Reasons {
			if reason == code {
				return true
			}
		}
	}
	return false
}

func faultOf(err error) *Fault {
	var fault *Fault
	errors.As(err, &fault)
	return fault
}

func refusalOf(err error) *Refusal {
	var refusal *Refusal
	errors.As(err, &refusal)
	return refusal
}

// Statuses is a table of the statuses that a dialect has for native codes, and for reasons of denials, where they are not the native ones.
type Statuses map[string]int

// Of is the status of a refusal.
func (s Statuses) Of(r *Refusal) int {
	for _, reason := range r.Reasons {
		if status, ok := s[reason]; ok {
			return status
		}
	}
	if status, ok := s[r.Code]; ok {
		return status
	}
	return r.Status
}

// Native renders errors as the native routes do: a refusal as it came, with the status that the table has for it, and a fault as a problem.
func Native(statuses Statuses) func(*Call, error) Reply {
	return func(c *Call, err error) Reply {
		if refusal := refusalOf(err); refusal != nil {
			header := http.Header{}
			if kind := refusal.Header.Get("Content-Type"); kind != "" {
				header.Set("Content-Type", kind)
			}
			return Reply{Status: statuses.Of(refusal), Header: header, Body: refusal.Body}
		}
		problem := map[string]any{
			"type": "about:blank", "code": "internal_error", "status": http.StatusInternalServerError, "request_id": c.RequestID(),
		}
		if fault := faultOf(err); fault != nil {
			problem["code"], problem["status"] = string(fault.Kind), fault.Status()
			if fault.At != "" {
				problem["pointer"] = fault.At
			}
			if fault.Detail != "" {
				problem["detail"] = fault.Detail
			}
		}
		status := problem["status"].(int)
		problem["title"] = http.StatusText(status)
		return Reply{Status: status, Header: http.Header{"Content-Type": {"application/problem+json"}}, Body: problem}
	}
}
