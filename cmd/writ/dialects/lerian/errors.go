package lerian

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/writ-authz/writ/cmd/writ/dialects"
)

// failure is an error as both plugins write it.
type failure struct {
	Code    string `json:"code"`
	Title   string `json:"title"`
	Message string `json:"message"`
}

// wording is an error that a route words itself.
type wording struct {
	status int
	code   string
}

func (w *wording) Error() string { return w.code }

func worded(status int, code string) *wording { return &wording{status, code} }

// texts are the codes that are sent, each with title and message. They say nothing that the caller brought. What the two plugins have no
// code for has its status as code, which the vendor's client takes for one.
func texts() map[string][2]string {
	return map[string][2]string{
		"AUT-0001": {"Bad Request Body", "The body is not what this route reads."},
		"AUT-0004": {"Invalid Query Parameter", "A query parameter is not what this route reads."},
		"AUT-0005": {"Internal Server Error", "Something went wrong on our side."},
		"AUT-0006": {"Token Missing", "A token is needed in the Authorization header."},
		"AUT-0007": {"Invalid Token", "The token is not good, or not any more."},
		"AUT-0008": {"Service Unavailable", "This cannot be told now. Try again later."},
		"AUT-0013": {"Invalid Grant Type", "There is no such grantType."},
		"AUT-0014": {"Fields Do Not Fit The Grant Type", "It is username and password, or clientId and clientSecret, as the grantType says."},
		"AUT-1001": {"Grant Type Not Supported", "This is not offered."},
		"AUT-1002": {"Invalid Credentials", "The username or the password is wrong."},
		"AUT-1004": {"Invalid Client", "The clientId or the clientSecret is wrong."},
		"AUT-1005": {"Invalid Refresh Token", "The refresh token is not good, or not any more."},
		"AUT-1015": {"Subject Not Found", "There is no such subject."},
		"IDE-0001": {"Missing Fields", "A required field is missing or empty."},
		"IDE-0002": {"Invalid Fields", "The body is not what this route reads."},
		"IDE-0004": {"Unexpected Fields", "The body has a field that this route does not read."},
		"IDE-0008": {"Token Missing", "A token is needed in the Authorization header."},
		"IDE-0009": {"Invalid Token", "The token is not good, or not any more."},
		"IDE-0010": {"Unmodifiable Fields", "The field cannot be changed."},
		"IDE-0012": {"Invalid Application Name", "There is no product of that name."},
		"IDE-0013": {"Not The Owner", "The token is another user's."},
		"IDE-0020": {"Invalid Password", "The password is too short, or one that is easily guessed."},
		"IDE-1001": {"Application Not Found", "There is no such application, or none for you to see."},
		"IDE-1003": {"User Not Found", "There is no such user, or none for you to see."},
		"IDE-1006": {"Group Not Found", "There is no such group, or none for you to see."},
	}
}

func reply(status int, code string) dialects.Reply {
	text, ok := texts()[code]
	if !ok {
		code = strconv.Itoa(status)
		text = [2]string{http.StatusText(status), "The request was refused."}
	}
	header := http.Header{}
	if status == http.StatusUnauthorized {
		header.Set("Www-Authenticate", "Bearer")
	}
	return dialects.Reply{Status: status, Header: header, Body: failure{Code: code, Title: text[0], Message: text[1]}}
}

// fail renders what a route returned as an error.
func fail(c *dialects.Call, err error) dialects.Reply {
	var own *wording
	var fault *dialects.Fault
	var refusal *dialects.Refusal
	identity := c.Plane == dialects.Admin
	switch {
	case errors.As(err, &own):
		return reply(own.status, own.code)
	case errors.As(err, &fault):
		return reply(fault.Status(), faultCode(fault, identity))
	case errors.As(err, &refusal) && identity:
		return refusedIdentity(c, refusal)
	case errors.As(err, &refusal):
		return refusedAuth(c, refusal)
	}
	return reply(http.StatusInternalServerError, "AUT-0005")
}

// faultCode is the code of a request that cannot be read, in the words of the plugin that it went to.
func faultCode(fault *dialects.Fault, identity bool) string {
	switch {
	case fault.Kind == dialects.BadParameter:
		return "AUT-0004"
	case fault.Status() != http.StatusBadRequest:
		return ""
	case !identity:
		return "AUT-0001"
	case fault.Kind == dialects.Missing:
		return "IDE-0001"
	case fault.Kind == dialects.UnknownKey:
		return "IDE-0004"
	case fault.Kind == dialects.Unmodifiable:
		return "IDE-0010"
	default:
		return "IDE-0002"
	}
}

// refusedAuth is what the Auth plugin says of a native refusal.
func refusedAuth(c *dialects.Call, refusal *dialects.Refusal) dialects.Reply {
	switch refusal.Status {
	case http.StatusBadRequest:
		return reply(refusal.Status, "AUT-0001")
	case http.StatusUnauthorized:
		if c.Header.Get("Authorization") == "" {
			return reply(refusal.Status, "AUT-0006")
		}
		return reply(refusal.Status, "AUT-0007")
	case http.StatusServiceUnavailable:
		return reply(refusal.Status, "AUT-0008")
	case http.StatusInternalServerError:
		return reply(refusal.Status, "AUT-0005")
	}
	return reply(refusal.Status, "")
}

// refusedIdentity is what the Identity plugin says of one.
func refusedIdentity(c *dialects.Call, refusal *dialects.Refusal) dialects.Reply {
	switch refusal.Status {
	case http.StatusBadRequest:
		return refusedBody(refusal)
	case http.StatusUnauthorized:
		if c.Header.Get("Authorization") == "" {
			return reply(refusal.Status, "IDE-0008")
		}
		return reply(refusal.Status, "IDE-0009")
	case http.StatusNotFound:
		for kind, code := range map[string]string{"/applications": "IDE-1001", "/users": "IDE-1003", "/groups": "IDE-1006"} {
			if strings.Contains(c.Request.URL.Path, "/v1"+kind) {
				return reply(refusal.Status, code)
			}
		}
	}
	return reply(refusal.Status, "")
}

// refusedBody are the native codes of a body that is refused.
func refusedBody(refusal *dialects.Refusal) dialects.Reply {
	switch refusal.Code {
	case "unknown_group":
		return reply(http.StatusNotFound, "IDE-1006")
	case "unknown_role": // the roles of an application are those of its product
		return reply(refusal.Status, "IDE-0012")
	case "missing", "required", "missing_key":
		return reply(refusal.Status, "IDE-0001")
	case "password_too_short", "password_too_common", "password_breached", "malformed_password":
		return reply(refusal.Status, "IDE-0020")
	}
	return reply(refusal.Status, "IDE-0002")
}
