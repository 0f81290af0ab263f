package clientgin

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/writ-authz/writ/oauth/client"
)

// Authenticated lets a request through that brings a good token; TokenFrom returns it.
func Authenticated(c *client.Client) gin.HandlerFunc {
	return func(g *gin.Context) {
		known, err := c.Authenticate(g.Request)
		if err != nil {
			refuse(c, g, err)
			return
		}
		g.Request = known
	}
}

// Require lets a request through whose token may do the action on the resource that the function names. It authenticates the request
// if nothing did before.
func Require(c *client.Client, action string, resource func(*gin.Context) (client.Resource, error)) gin.HandlerFunc {
	return func(g *gin.Context) {
		permitted, err := c.Authorize(g.Request, action, func(known *http.Request) (client.Resource, error) {
			g.Request = known
			return resource(g)
		})
		if err != nil {
			refuse(c, g, err)
			return
		}
		g.Request = permitted
	}
}

// Param names the resource by a parameter of the route.
func Param(resourceType, name string) func(*gin.Context) (client.Resource, error) {
	return func(g *gin.Context) (client.Resource, error) {
		return client.Resource{Type: resourceType, ID: g.Param(name)}, nil
	}
}

// TokenFrom returns the token of a request that passed Authenticated or Require.
func TokenFrom(g *gin.Context) (*client.Token, bool) { return client.TokenFrom(g.Request.Context()) }

func refuse(c *client.Client, g *gin.Context, err error) {
	_ = g.Error(err) // for the service's own logger
	g.Abort()
	c.Refuse(g.Writer, g.Request, err)
}
