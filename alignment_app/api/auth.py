"""API tokens."""

from __future__ import annotations

from typing import Any, cast

from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import exceptions, serializers
from rest_framework.authtoken.models import Token
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from alignment_app.api.base import BaseAPIView
from alignment_app.services import people


class NameAndPassword(serializers.Serializer[Any]):
    username = serializers.CharField(max_length=150)
    password = serializers.CharField(max_length=1000, trim_whitespace=False, style={"input_type": "password"})


class TokenView(BaseAPIView):
    """Exchange name and password for a token, sent as ``Authorization: Token ...``. DELETE invalidates it."""

    def get_permissions(self) -> list[Any]:
        return [AllowAny()] if self.request.method == "POST" else [IsAuthenticated()]

    @extend_schema(
        request=NameAndPassword, responses=inline_serializer("Token", {"token": serializers.CharField()}), auth=[]
    )
    def post(self, request: Request) -> Response:
        asked = NameAndPassword(data=request.data)
        asked.is_valid(raise_exception=True)
        user = authenticate(request._request, **asked.validated_data)
        if user is None:
            raise exceptions.AuthenticationFailed("Unknown user name or wrong password, or the account is disabled.")
        if people.password_is_one_time(user):
            raise PermissionDenied("Change your one-time password first, at /accounts/password/.")
        token, _ = Token.objects.get_or_create(user=user)
        return Response({"token": token.key})

    @extend_schema(request=None, responses={204: None})
    def delete(self, request: Request) -> Response:
        Token.objects.filter(user=cast(User, request.user)).delete()
        return Response(status=204)
