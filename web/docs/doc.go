// Package docs serves the API contract as a page to read and to try out: Swagger UI 5.35.0 (swagger-ui-dist from npm,
// unchanged in assets/), our index.html, and start.js, which loads /openapi.yaml.
//
// Everything is embedded and no other host is asked, so the page works offline and under a strict content security
// policy. To update, put swagger-ui.css, swagger-ui-bundle.js and the licences of a newer release into assets/.
//
// Start reading at docs.go.
package docs
