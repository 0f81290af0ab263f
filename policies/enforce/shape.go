package enforce

import (
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
)

// Shape says what a row reads and replies. The OpenAPI document is made of it, and Request.Decode holds the handler to it.
type Shape struct {
	// Summary is what the row does, in one line without a full stop.
	Summary string
	// Requests are the types that a JSON body may be decoded into; which of several it is depends on the caller.
	Requests []reflect.Type
	// Open bodies may have members that nobody knows.
	Open bool
	// Required are the members of a body without which the row is always 400.
	Required []string
	// Example is a good body.
	Example any
	// Form are the parameters of a form body; others are ignored.
	Form []Parameter
	// Query says what the parameters of Route.Query mean.
	Query map[string]Parameter
	// Versioned rows read If-Match and If-None-Match.
	Versioned bool
	Replies   []ReplyShape
	// Errors are statuses beside those that every row of the plane and of this kind can have.
	Errors []int
}

// Parameter is one of a query or a form, or a header.
type Parameter struct {
	Name        string
	Description string
	// Type is that of the value; nil is a string.
	Type reflect.Type
	// Values are all that are accepted, if they are few.
	Values   []string
	Min, Max int // of a whole number; both 0 where there are no bounds
	Required bool
	// Repeated parameters may be given more than once.
	Repeated bool
}

// ReplyShape is one successful answer.
type ReplyShape struct {
	Status int
	// Types are those of the body; none where there is no body.
	Types []reflect.Type
	// Media is the type of the body, application/json if empty. A body of another type is text.
	Media string
}

// ErrorShape is what the errors of a plane look like.
type ErrorShape struct {
	Type  reflect.Type
	Media string
	// Statuses are those that any row of the plane can have.
	Statuses []int
	// WrongMedia is the status of a body of the wrong type.
	WrongMedia int
}

// OK is the shape of a reply of status 200 with a body of type T.
func OK[T any]() ReplyShape { return Answer[T](http.StatusOK) }

// Answer is the shape of a reply with a body of type T.
func Answer[T any](status int) ReplyShape {
	return ReplyShape{Status: status, Types: []reflect.Type{reflect.TypeFor[T]()}}
}

// NoContent is the shape of a 204.
func NoContent() ReplyShape { return ReplyShape{Status: http.StatusNoContent} }

// Reads names one type of a body.
func Reads[T any]() []reflect.Type { return []reflect.Type{reflect.TypeFor[T]()} }

// errUndeclared is a fault of ours: the row decodes what its table does not say.
var errUndeclared = errors.New("the body is decoded into a type that the shape of the row does not name")

// Decode reads the JSON body into one of the types that the row's shape names, strictly unless the shape is open. It fails as DecodeJSON does.
func (r *Request) Decode(into any) error {
	if r.shape == nil {
		return DecodeJSON(r.Body, into)
	}
	if t := reflect.TypeOf(into).Elem(); !slices.Contains(r.shape.Requests, t) {
		return fmt.Errorf("%w: %s", errUndeclared, t)
	}
	return decodeJSON(r.Body, into, r.shape.Open)
}
