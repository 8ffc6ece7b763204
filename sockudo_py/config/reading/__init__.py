"""From what a person wrote to one document: variables, other spellings, environment. Types are checked afterwards."""
